/** The table of machines draws what is seen of it. */

import { expect, it } from "vitest";
import type { Machine } from "../src/api/client";
import { problemOf } from "../src/api/problem";
import { compared, ROW_PX, seenRows } from "../src/panels/machine_rows";

it("draws a handful of rows of five thousand", () => {
  const { from, to } = seenRows(1000 * ROW_PX, 20 * ROW_PX, 5000);
  expect(from).toBeLessThan(1000);
  expect(to).toBeGreaterThan(1020);
  expect(to - from).toBeLessThan(50);
  expect(seenRows(9e9, 600, 10)).toEqual({ from: 10, to: 10 });
  expect(seenRows(0, 600, 0)).toEqual({ from: 0, to: 0 });
});

it("sorts what is unknown first, and equals by id", () => {
  const machine = (id: number, battery: number | null) => ({ id, site: 0, now: battery === null ? null : { battery } }) as Machine;
  const sorted = [machine(3, 50), machine(2, 50), machine(9, null), machine(1, 70)].sort((a, b) => compared(a, b, "charge"));
  expect(sorted.map((one) => one.id)).toEqual([9, 2, 3, 1]);
});

it("a problem names its fields, by `field` and by `errors`", () => {
  const problem = problemOf(422, {
    title: "A field is wrong",
    detail: "`entities`: 0 is not from 1 to 1000000",
    field: "entities",
    allowed: "1 to 1000000",
    errors: [{ field: "speed", detail: "too fast" }, 7, null],
  });
  expect(problem.fields).toEqual([
    { field: "entities", detail: "`entities`: 0 is not from 1 to 1000000" },
    { field: "speed", detail: "too fast" },
  ]);
  const unsaid = problemOf(422, { title: "A field is wrong", detail: "`speed`: no number", field: "speed", allowed: "0.1 to 100, or max" });
  expect(unsaid.fields).toEqual([{ field: "speed", detail: "`speed`: no number; allowed: 0.1 to 100, or max" }]);
  expect(problemOf(502, "<html>").sentence).toBe("The server answered 502.");
});
