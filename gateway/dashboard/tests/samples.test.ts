/** Which frames are taken for a sample, of which nobody can say how many machines queue: by the server's view, not the page's wish. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FarmMap } from "../src/map/farm_map";
import type { MachineFrame } from "../src/stream/channel";
import { A, frame, hello, openPage, settled } from "./page_fixture";

let tell: Awaited<ReturnType<typeof openPage>>["tell"];
let taken: boolean[];

/** A page that wants 20,000 machines at most and shows a farm of 100,000. */
beforeEach(async () => {
  const page = await openPage(`#sim=${A}`);
  page.farm.start();
  await settled();
  taken = [];
  page.farm.handleMap({ setFrame: (_: MachineFrame, isSample: boolean) => taken.push(isSample) } as unknown as FarmMap);
  tell = page.tell;
  tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Whether a frame of so many machines is a sample. */
function isSample(count: number, machines = 100_000): boolean | undefined {
  tell({ type: "frame", simulation: A, frame: { ...frame(taken.length), count, machines } });
  return taken.at(-1);
}
const grant = (maxEntities: number) => tell({ type: "view", simulation: A, maxEntities, detail: "" });
const refuse = () => tell({ type: "view", simulation: A, maxEntities: null, detail: "too many views" });

it("a frame of fewer machines than the view allows has them all, one of as many is a sample", () => {
  expect([isSample(19_999), isSample(20_000)]).toEqual([false, true]);
  grant(5_000);
  expect([isSample(4_999), isSample(5_000)]).toEqual([false, true]);
});

it("a frame of the whole farm is none, however many the view allows", () => {
  expect(isSample(20_000, 20_000)).toBe(false);
  refuse();
  expect(isSample(2_000, 2_000)).toBe(false);
});

describe("after the server did not take a view", () => {
  it("every frame of a part of the farm is one, until a view is taken", () => {
    refuse();
    expect([isSample(2_000), isSample(1_234)]).toEqual([true, true]);
    grant(20_000);
    expect(isSample(1_234)).toBe(false);
  });
  it("so it is until another connection begins with the view that is wanted", () => {
    refuse();
    expect(isSample(1_234)).toBe(true);
    tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
    expect(isSample(1_234)).toBe(false);
  });
});

it("a frame of the view before, which comes after the answer, is still one", () => {
  grant(2_000);
  expect(isSample(2_000)).toBe(true);
  grant(20_000);
  expect([isSample(2_000), isSample(3_000)]).toEqual([true, false]);
});
