/** The decoder against the worked example of docs/stream.md, read from the page itself. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Malformed, decodeIds, decodeTick } from "./binary.js";

const page = readFileSync(new URL("../../../docs/stream.md", import.meta.url), "utf8");
const [idsBytes, tickBytes] = [...page.matchAll(/```text\n((?:[0-9a-f]{4}(?:  ?[0-9a-f]{2})+\n)+)```/g)].map(([, dump]) =>
  Buffer.from(dump.replace(/^[0-9a-f]{4}|\s/gm, ""), "hex"),
);

test("ids", () => {
  const ids = decodeIds(idsBytes);
  assert.equal(ids.simulation, "01970000-0000-7000-8000-000000000001");
  assert.deepEqual(ids.ids, [1, 2]);
  assert.deepEqual(ids.blocks, [{ site: 0, machines: 2, first: 0, eastM: 0, northM: 0 }]);
});

test("tick", () => {
  const tick = decodeTick(tickBytes, decodeIds(idsBytes));
  assert.deepEqual([tick.tick, tick.epoch, tick.entities_total, tick.sums.machines], [4000, 1, 2, 2]);
  assert.ok(Math.abs(tick.sim_time_s - 200) < 1e-9);
  const [west, south, east, north] = tick.parts[0].boxM;
  assert.deepEqual([tick.machines.get(1)?.x, tick.machines.get(1)?.y], [west, south]);
  assert.deepEqual([tick.machines.get(2)?.x, tick.machines.get(2)?.y], [east, north]);
  assert.equal(south, north);
});

test("a later version may put more before the blocks", () => {
  const longer = Buffer.concat([tickBytes.subarray(0, 344), Buffer.alloc(16, 0xaa), tickBytes.subarray(344)]);
  longer.writeUInt16LE(360, 2);
  const ids = decodeIds(idsBytes);
  assert.deepEqual(decodeTick(longer, ids), decodeTick(tickBytes, ids));
});

test("what is shorter, longer or out of range is refused", () => {
  const ids = decodeIds(idsBytes);
  for (let end = 0; end < tickBytes.length; end += 1) {
    assert.throws(() => decodeTick(tickBytes.subarray(0, end), ids), Malformed);
  }
  for (let end = 0; end < idsBytes.length; end += 1) {
    assert.throws(() => decodeIds(idsBytes.subarray(0, end)), Malformed);
  }
  assert.throws(() => decodeTick(Buffer.concat([tickBytes, Buffer.alloc(1)]), ids), Malformed);
  for (const [offset, value] of [[0, 3], [1, 2], [4, 2], [48, 1], [344, 1], [348, 3], [375, 10]]) {
    const wrong = Buffer.from(tickBytes);
    wrong[offset] = value;
    assert.throws(() => decodeTick(wrong, ids), Malformed, `offset ${offset}`);
  }
});
