/** The form that is made from a scenario's JSON Schema. */

import { describe, expect, it } from "vitest";
import { allowed, fieldsOf, written } from "../src/store/schema_form";

/** As `GET /v1/scenarios` gives it, in short. */
const SCHEMA = {
  type: "object",
  required: ["scenario"],
  properties: {
    name: { type: ["string", "null"], description: "Its name.", maxLength: 5, minLength: 1 },
    scenario: { $ref: "#/$defs/ScenarioName" },
    entities: { type: ["integer", "null"], default: 1000, maximum: 1_000_000, minimum: 1 },
    seed: { type: ["integer", "null"], maximum: 18446744073709552000, minimum: 0 },
    speed: { oneOf: [{ $ref: "#/$defs/Speed", description: "Factor on real time." }, { type: "null" }] },
    late_policy: { oneOf: [{ $ref: "#/$defs/LatePolicy" }, { type: "null" }] },
    params: { type: ["object", "null"] },
  },
  $defs: {
    ScenarioName: { type: "string", enum: ["weeding"] },
    Speed: {
      oneOf: [
        { type: "number", maximum: 1000, minimum: 0.1 },
        { type: "string", enum: ["max"] },
      ],
      example: 1,
    },
    LatePolicy: { type: "string", enum: ["dilate", "fail"] },
  },
};
const fields = fieldsOf(SCHEMA);
const field = (name: string) => fields.find((one) => one.name === name)!;

it("has a field for everything that it understands", () => {
  expect(fields.map(({ name, kind }) => [name, kind])).toEqual([
    ["name", "text"],
    ["scenario", "choice"],
    ["entities", "integer"],
    ["seed", "integer"],
    ["speed", "number"],
    ["late_policy", "choice"],
  ]);
  expect(field("scenario").only).toBe("weeding");
  expect(field("entities").fallback).toBe("1000");
  expect(allowed(field("speed"))).toBe("a number from 0.1 up to 1,000, or max");
  expect(field("speed").help).toBe("Factor on real time.");
});

it("says machines for what the API calls entities, and shows what may be typed", () => {
  expect(field("entities").label).toBe("machines");
  expect(field("speed").fallback).toBe("1 or max");
  expect(field("seed").fallback).toBe("");
  expect(field("late_policy").fallback).toBe("");
});

describe("what was typed", () => {
  it("leaves out what is empty", () => expect(written(fields, { name: "", entities: " " })).toEqual({ body: '{"scenario":"weeding"}', errors: {} }));
  it.each(["1", "1000000"])("takes the bound %s", (entities) => expect(written(fields, { entities }).errors).toEqual({}));
  it("keeps every digit of a seed", () => expect(written(fields, { seed: "18446744073709551615" }).body).toContain('"seed":18446744073709551615'));
  it("takes a word in a number's place", () => expect(written(fields, { speed: "max" }).body).toContain('"speed":"max"'));
  it("writes markup as the text it is", () => expect(JSON.parse(written(fields, { name: '<"b>' }).body)).toEqual({ name: '<"b>', scenario: "weeding" }));
  it.each([
    ["entities", "0"],
    ["entities", "1.5"],
    ["entities", "1,2"],
    ["entities", "1}"],
    ["entities", "0x10"],
    ["speed", "fast"],
    ["speed", "0.01"],
    ["name", "too long"],
    ["late_policy", "dunno"],
  ])("says what %s may be where it is %s", (name, value) => {
    const { errors } = written(fields, { [name]: value });
    expect(Object.keys(errors)).toEqual([name]);
    expect(errors[name]).toMatch(/^Allowed: /);
  });
});

it("is empty for a schema of another kind, and ends for one that names itself", () => {
  expect(fieldsOf({ type: "string" })).toEqual([]);
  expect(fieldsOf({ properties: { a: { $ref: "#/$defs/A" } }, $defs: { A: { $ref: "#/$defs/A" } } })).toEqual([]);
});
