/** Text messages: what is known is read, everything else is passed over, whatever it is. */

import { expect, it } from "vitest";
import { readMessage } from "../src/protocol/messages";
import { occasionOf } from "../src/store/occasions";

it.each([
  "",
  "{",
  "null",
  "7",
  "[]",
  '"hello"',
  "{}",
  '{"type":7}',
  '{"type":"news","text":"of a later version"}',
  '{"type":"hello"}',
  '{"type":"event","log":"other","seq":1,"tick":1,"detail":{}}',
])("passes over %s", (text) => expect(readMessage(text)).toBeNull());

it("reads an event with fields that it does not know", () => {
  const text = '{"type":"event","log":"sim","seq":9,"tick":148,"kind":"transition","site":0,"entities":[4,7],"detail":{"state":"working"},"new":1}';
  expect(readMessage(text)).toMatchObject({ type: "event", seq: 9, entities: [4, 7] });
});

it("knows which events somebody has to know of", () => {
  const event = (kind: string, detail: Record<string, unknown>) => occasionOf({ log: "system", seq: 1, tick: 1, kind, detail });
  expect(event("system", { event: "worker_lost", worker: 3, reason: "closed" })).toMatchObject({ key: "worker_lost", severity: "error" });
  expect(event("lifecycle", { status: "paused", cause: "history_full" })?.text).toContain("database");
  expect(event("lifecycle", { status: "paused", cause: "requested" })).toBeNull();
  expect(event("system", { event: "late", ticks: 3 })).toBeNull();
  expect(event("system", { event: "late", ticks: 300 })?.severity).toBe("warning");
  expect(event("system", { event: "of a later version" })).toBeNull();
  expect(event("fault", {})).toBeNull();
});
