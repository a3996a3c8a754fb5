/** Machines that queue are counted at the station at which they wait. */

import { expect, it } from "vitest";
import type { Camera } from "../src/map/camera";
import { type Ground, hasStations, type Layout } from "../src/map/ground";
import { queuesOf } from "../src/map/queues";
import { STATES } from "../src/protocol/states";
import { type MachineFrame, STRIDE } from "../src/stream/channel";

const SIZE = { width: 1000, height: 600 };
const station = (x: number) => ({ slots_m: [[x, 0]], parking_m: [], slot_power_w: 1, station: 0, field: 0 });
const layout = { bounds_m: [-200, -50, 200, 50], fields: [], headlands: [], stations: [station(-100), station(100)] } as unknown as Layout;
/** Two sites, one beside the other. */
const ground: Ground = { worldM: [-200, -50, 600, 50], layout, originsM: Float64Array.of(0, 0, 400, 0) };
const near: Camera = { x: 200, y: 0, pxPerM: 1 };

/** Machines by place in the world and state. */
function frameOf(machines: [x: number, y: number, state: (typeof STATES)[number]][]): MachineFrame {
  const anchorM: [number, number] = [50, 10];
  const buffer = new ArrayBuffer(machines.length * (STRIDE + 4));
  machines.forEach(([x, y, state], n) => {
    new Float32Array(buffer, n * STRIDE, 2).set([x - anchorM[0], y - anchorM[1]]);
    new Uint8Array(buffer)[n * STRIDE + 20] = STATES.indexOf(state);
  });
  return { anchorM, count: machines.length, buffer } as unknown as MachineFrame;
}

const frame = frameOf([
  [-95, 5, "queueing"],
  [-105, 5, "queueing"],
  [-100, 0, "charging"],
  [90, 5, "working"],
  [480, 40, "queueing"],
]);

it("by the nearest station of the site in which they stand", () => {
  expect([...queuesOf(frame, ground, near, SIZE)]).toEqual([
    [0, 2],
    [3, 1],
  ]);
});

it("not where stations are too small to be marked, or not known yet", () => {
  expect(queuesOf(frame, ground, { ...near, pxPerM: 0.1 }, SIZE).size).toBe(0);
  expect(queuesOf(frame, { ...ground, layout: null }, near, SIZE).size).toBe(0);
});

it("and only at sites that are seen", () => {
  expect([...queuesOf(frame, ground, { x: -100, y: 0, pxPerM: 4 }, SIZE)]).toEqual([[0, 2]]);
});

it("only where stations are so far apart that their marks do not lie on each other", () => {
  const from = (width: number): Camera => ({ ...near, pxPerM: width / 400 });
  const many = { ...layout, bounds_m: [-200, -200, 200, 200], stations: Array.from({ length: 400 }, (_, n) => station(n - 200)) } as Layout;
  expect(hasStations(many, from(300))).toBe(false);
  expect(hasStations(many, from(600))).toBe(true);
  expect(hasStations({ ...many, stations: many.stations.slice(0, 4) }, from(300))).toBe(true);
  expect(hasStations({ ...many, stations: many.stations.slice(0, 4) }, from(200))).toBe(false);
});
