/** What the table of the README says of the folders, as far as it can be read off the sources. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const SRC = new URL("../src/", import.meta.url);
/** Code of each file, without its comments, by its path in `src`. */
const CODE = new Map(
  readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path) && !path.endsWith(".d.ts"))
    .map((path) => [path, readFileSync(new URL(path, SRC), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")] as const),
);
const filesWith = (pattern: RegExp, folder = "") => [...CODE].filter(([path, code]) => path.startsWith(folder) && pattern.test(code)).map(([path]) => path);
const importsOf = (...folders: string[]) => new RegExp(`from "(\\.\\./|\\./)(${folders.join("|")})/`);
const PURE = ["alerts", "burst", "event_log", "series", "occasions", "location", "schema_form"].map((name) => `store/${name}.ts`);

it("finds the sources", () => {
  expect(CODE.size).toBeGreaterThan(40);
  for (const path of PURE) expect(CODE.has(path)).toBe(true);
});

describe("what is shown", () => {
  const changesSignal = /\.value\s*([-+*/|&^]|\?\?|\|\||&&)?=(?!=)|\.value(\+\+|--)/;
  it("is changed by the store alone, and by the map as to what it draws", () => {
    expect(filesWith(changesSignal).filter((path) => !path.startsWith("store/"))).toEqual(["map/map_view.tsx"]);
  });
  it("is changed in the store by the modules that do so", () => {
    const changing = ["farm", "lookup", "page", "selection", "state", "timings"].map((name) => `store/${name}.ts`);
    expect(filesWith(changesSignal, "store/").sort()).toEqual(changing);
  });
  it("is pure where it is said to be", () => {
    const impure = /\bfetch\(|\bapi\.|\bsignal\b|Date\.now|performance\.|Math\.random|setTimeout|\bdocument\.|\blocation\./;
    expect(filesWith(impure, "store/").filter((path) => PURE.includes(path))).toEqual([]);
  });
  it("leaves the document to one module, and the panels to themselves", () => {
    expect(filesWith(/\bdocument\./, "store/")).toEqual(["store/farm.ts"]);
    expect(filesWith(importsOf("panels", "parts"), "store/")).toEqual([]);
  });
});

it("the socket is the worker's, and the worker is the store's", () => {
  expect(filesWith(/new WebSocket\b/)).toEqual(["stream/worker.ts"]);
  expect(filesWith(/\bnew Link\(/)).toEqual(["store/farm.ts"]);
  expect(filesWith(/\bpostMessage\(/).sort()).toEqual(["stream/link.ts", "stream/worker.ts"]);
});

it("the layers below know nothing of those above", () => {
  expect(filesWith(importsOf("store", "panels", "parts", "map"), "protocol/")).toEqual([]);
  expect(filesWith(importsOf("store", "panels", "parts", "map"), "stream/")).toEqual([]);
  expect(filesWith(importsOf("store", "panels", "parts", "map", "stream"), "api/")).toEqual([]);
  expect(filesWith(importsOf("store", "panels", "parts"), "map/")).toEqual(["map/map_view.tsx"]);
});
