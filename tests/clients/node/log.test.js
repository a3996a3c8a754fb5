/** What a client keeps of the logs, and how bounds snap. */

import assert from "node:assert/strict";
import test from "node:test";

import { Logs, OutOfOrder } from "./log.js";
import { snapped } from "./view.js";

test("voids, gaps and resuming", () => {
  const logs = new Logs();
  for (const seq of [1, 2, 3]) logs.event({ log: "sim", seq });
  const first = { epoch: 2, from_event: 1, from_system_event: 1 };
  logs.hello({ epoch: 2, epochs: [first] });
  assert.deepEqual(logs.resumeQuery(), { events: "all", from_epoch: 2, from_event: 4, from_system_event: 1 });
  assert.throws(() => logs.event({ log: "sim", seq: 5 }), OutOfOrder);
  assert.throws(() => logs.event({ log: "sim", seq: 3 }), OutOfOrder);
  assert.throws(() => logs.hello({ epoch: 1, epochs: [first] }), OutOfOrder);
  logs.hello({ epoch: 2, epochs: [first] });
  assert.equal(logs.events.sim.size, 3, "the same epoch voids nothing");
  const next = { epoch: 3, from_event: 2, from_system_event: 1 };
  logs.hello({ epoch: 4, epochs: [first, next, { ...next, epoch: 4, from_event: 3 }] });
  assert.deepEqual([...logs.events.sim.keys()], [1]);
  logs.event({ log: "sim", seq: 2 });
  logs.missing({ log: "sim", from_seq: 3, to_seq: 8 });
  logs.event({ log: "sim", seq: 9 });
  assert.throws(() => logs.missing({ log: "sim", from_seq: 12, to_seq: 13 }), OutOfOrder);
});

test("bounds snap outward to tiles", () => {
  assert.deepEqual(snapped([0, 0, 100, 80]), [0, 0, 128, 96]);
  assert.deepEqual(snapped([-1, -33, 1, -32]), [-16, -48, 16, -32]);
  assert.deepEqual(snapped([0, 0, 64, 64]), [0, 0, 64, 64]);
});
