/** The decoder against frames that the Rust side wrote, and against frames that nobody should write. */

import { describe, expect, it } from "vitest";
import { decodeIds, decodeTick, eachRecord, kindOf, Malformed, TICK } from "../src/protocol/frames";
import { changed, idsBytes, tickBytes } from "./frame_fixture";

describe("the worked example", () => {
  const ids = decodeIds(idsBytes());
  const tick = decodeTick(tickBytes(), ids);

  it("tells whose the records are", () => {
    expect(ids.simulation).toBe("01970000-0000-7000-8000-000000000001");
    expect(ids.sites).toBe(1);
    expect([...ids.ids]).toEqual([1, 2]);
    expect(ids.worldM).toEqual([-694.5, -934, 694.5, 934]);
  });

  it("tells the tick and its sums", () => {
    expect(kindOf(tickBytes())).toBe(TICK);
    expect(tick).toMatchObject({ tick: 4000, epoch: 1, simTimeS: 200, machines: 2, records: 2 });
    expect(tick.sums.byState[2]).toBe(2);
    expect(tick.sums.byCharge).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
    expect(tick.sums.meanCharge).toBeCloseTo(1.357 / 2, 3);
    expect(tick.sums.meanSpeedMPerS).toBeCloseTo(0.264, 6);
  });

  it("puts both machines where the page says", () => {
    const seen: unknown[] = [];
    eachRecord(tick, ids, (row, x, y, at) => {
      seen.push([row, Math.round(x * 1000) / 1000, Math.round(y * 1000) / 1000, tick.data.getUint8(at + 4), tick.data.getUint8(at + 7)]);
    });
    expect(seen).toEqual([
      [0, -677, -906.641, 0x3f, 2],
      [1, -214, -906.641, 0x3f, 2],
    ]);
  });

  it("is found where the message says that blocks begin, though more is before them", () => {
    const longer = new Uint8Array(tickBytes().byteLength + 8);
    const old = new Uint8Array(tickBytes());
    longer.set(old.subarray(0, 344));
    longer.set(old.subarray(344), 352);
    new DataView(longer.buffer).setUint16(2, 352, true);
    expect(decodeTick(longer.buffer, ids).records).toBe(2);
  });
});

describe("hostile frames", () => {
  const ids = decodeIds(idsBytes());
  const badTicks: [string, (data: DataView) => void][] = [
    ["another kind", (data) => data.setUint8(0, 1)],
    ["another version", (data) => data.setUint8(1, 2)],
    ["blocks within the header", (data) => data.setUint16(2, 64, true)],
    ["blocks at an odd place", (data) => data.setUint16(2, 345, true)],
    ["more blocks than bytes", (data) => data.setUint32(4, 0xffffffff, true)],
    ["other sums", (data) => data.setUint32(52, 37, true)],
    ["more machines than ids", (data) => data.setUint32(44, 3, true)],
    ["more records than bytes", (data) => data.setUint32(48, 3, true)],
    ["a block that is not there", (data) => data.setUint32(344, 1, true)],
    ["more machines than the block has", (data) => data.setUint32(348, 3, true)],
    ["fewer in blocks than in all", (data) => data.setUint32(348, 1, true)],
    ["a box turned inside out", (data) => data.setInt32(360, -0x7fffffff, true)],
  ];
  it.each(badTicks)("refuses a tick with %s", (_, change) => {
    expect(() => decodeTick(changed(tickBytes(), change), ids)).toThrow(Malformed);
  });

  const badIds: [string, (data: DataView) => void][] = [
    ["more machines than may be", (data) => data.setUint32(24, 2_000_000, true)],
    ["a site that is not there", (data) => data.setUint32(64, 1, true)],
    ["a gap between blocks", (data) => data.setUint32(72, 1, true)],
    ["fewer machines in blocks", (data) => data.setUint32(68, 1, true)],
    ["a world without end", (data) => data.setFloat64(32, Number.NaN, true)],
  ];
  it.each(badIds)("refuses ids with %s", (_, change) => {
    expect(() => decodeIds(changed(idsBytes(), change))).toThrow(Malformed);
  });

  it("refuses every message that is cut short", () => {
    for (let length = 0; length < idsBytes().byteLength; length += 1) expect(() => decodeIds(idsBytes().slice(0, length))).toThrow(Malformed);
    for (let length = 0; length < tickBytes().byteLength; length += 1) expect(() => decodeTick(tickBytes().slice(0, length), ids)).toThrow(Malformed);
  });

  it("refuses more machines than a block has, though the bytes are there", () => {
    const longer = new Uint8Array(tickBytes().byteLength + 8);
    longer.set(new Uint8Array(tickBytes()));
    const data = new DataView(longer.buffer);
    data.setUint32(48, 3, true);
    data.setUint32(348, 3, true);
    expect(() => decodeTick(longer.buffer, ids)).toThrow(/3 of 2 machines/);
  });

  it("refuses fewer records than the blocks have", () => {
    const shorter = changed(tickBytes().slice(0, -8), (data) => data.setUint32(48, 1, true));
    expect(() => decodeTick(shorter, ids)).toThrow(/2 records in blocks, 1 in all/);
  });

  it("refuses a block that comes twice", () => {
    const twice = new Uint8Array(tickBytes().byteLength + 24);
    const old = new Uint8Array(tickBytes());
    twice.set(old.subarray(0, 368));
    twice.set(old.subarray(344, 368), 368);
    twice.set(old.subarray(368), 392);
    const data = new DataView(twice.buffer);
    data.setUint32(4, 2, true);
    data.setUint32(348, 1, true);
    data.setUint32(372, 1, true);
    expect(() => decodeTick(twice.buffer, ids)).toThrow(/block 0/);
  });
});
