/** Frames for the graphics card: where machines are, and where they come from. */

import { expect, it } from "vitest";
import { machineOf, nearest } from "../src/map/picking";
import { decodeIds, decodeTick } from "../src/protocol/frames";
import { Columns, frameBytes } from "../src/stream/columns";
import { changed, idsBytes, tickBytes } from "./frame_fixture";

const ids = decodeIds(idsBytes());
const EVERYTHING = { states: -1, classes: -1 };

function frame(columns: Columns, change: (data: DataView) => void = () => {}, anchorM: [number, number] = [-600, -900]) {
  const tick = decodeTick(changed(tickBytes(), change), ids);
  return columns.fill(tick, anchorM, new ArrayBuffer(frameBytes(tick.records)));
}

/** A later tick in which the first machine is half way to the second one. */
function later(data: DataView): void {
  data.setBigUint64(8, 4001n, true);
  data.setBigUint64(32, 1_050_000n, true);
  data.setUint16(368, 0x8000, true);
}

it("a first frame moves nothing", () => {
  const first = frame(new Columns(ids));
  expect(first.beforeStartedAtUs).toBeNull();
  expect(machineOf(first, 0, 0)?.xM).toBeCloseTo(-677, 3);
  expect(machineOf(first, 0, 1)?.xM).toBeCloseTo(-677, 3);
});

it("a machine goes from where it was to where it is, whatever the anchors", () => {
  const columns = new Columns(ids);
  frame(columns);
  const second = frame(columns, later, [0, 0]);
  expect(second.beforeStartedAtUs).toBe(1_000_000);
  const at = (progress: number) => machineOf(second, 0, progress)?.xM;
  expect(at(0)).toBeCloseTo(-677, 3);
  expect(at(1)).toBeCloseTo(-677 + 463 * (0x8000 / 65535), 2);
  expect(at(0.5)).toBeCloseTo((at(0)! + at(1)!) / 2, 2);
});

it("after another orchestrator took over nothing moves there from what is void", () => {
  const columns = new Columns(ids);
  frame(columns);
  const second = frame(columns, (data) => {
    later(data);
    data.setUint32(40, 2, true);
  });
  expect(second.beforeStartedAtUs).toBeNull();
  expect(machineOf(second, 0, 0)?.xM).toBeCloseTo(machineOf(second, 0, 1)!.xM, 3);
});

it("picks the nearest machine that is shown", () => {
  const first = frame(new Columns(ids));
  expect(nearest(first, 1, EVERYTHING, -676, -906, 5)?.row).toBe(0);
  expect(nearest(first, 1, EVERYTHING, -300, -906, 5)).toBeNull();
  expect(nearest(first, 1, EVERYTHING, -300, -906, 500)?.row).toBe(1);
  const notWorking = { states: ~(1 << 2), classes: -1 };
  expect(nearest(first, 1, notWorking, -676, -906, 5)).toBeNull();
});
