/** The scales of plots. */

import { describe, expect, it } from "vitest";
import { COUNT_STEPS, decades, gapsOf, newest, powersOfTen, TIME_STEPS_S, topOfCount } from "../src/parts/scales";

describe("a logarithmic scale", () => {
  it.each([
    [0.22, 95, 0.1, 100],
    [1, 1, 1, 100],
    [3, 30_000, 1, 100_000],
  ])("of %d to %d goes from %d to %d", (low, high, from, to) => {
    expect(decades(low, high)[0]).toBeCloseTo(from, 9);
    expect(decades(low, high)[1]).toBeCloseTo(to, 6);
  });
  it.each([
    [null, null],
    [0, 5],
    [-1, 5],
    [Number.NaN, Number.NaN],
  ])("stands also where there is nothing to show: %s to %s", (low, high) => expect(decades(low, high)).toEqual([0.1, 10]));
});

it("a logarithmic scale is marked at powers of ten alone, its ends too", () => {
  expect(powersOfTen(0.1, 1000)).toEqual([0.1, 1, 10, 100, 1000]);
  expect(powersOfTen(2, 30)).toEqual([10]);
  expect(powersOfTen(2, 3)).toEqual([]);
});

it("counts are marked at whole numbers, up to a million, also where there is none", () => {
  expect(COUNT_STEPS.every(Number.isInteger)).toBe(true);
  expect(COUNT_STEPS.at(-1)).toBeGreaterThan(1_000_000 / 5);
  expect(topOfCount(0)).toBe(4);
  expect(topOfCount(1000)).toBeCloseTo(1100, 9);
});

it("time is marked no finer than its labels tell it", () => expect(Math.min(...TIME_STEPS_S)).toBe(1));

it("a run that stood leaves a gap, and no line over it", () => {
  const x = [0, 1, 2, 60, 61, 62, 200];
  expect(gapsOf(x, 0, 6, 15)).toEqual([
    [2, 3],
    [5, 6],
  ]);
  expect(gapsOf(x, 3, 5, 15)).toEqual([]);
  expect(gapsOf([], 0, -1, 15)).toEqual([]);
});

describe("the newest value of a line", () => {
  it("is its own where it stands on others", () => {
    const filled = (...values: number[]) => ({ values, isFilled: true });
    expect(newest([filled(9, 200), filled(8, 183), filled(7, 3)])).toEqual([17, 180, 3]);
    expect(newest([filled(5), { values: [2] }, { values: [] }])).toEqual([5, 2, Number.NaN]);
  });
});
