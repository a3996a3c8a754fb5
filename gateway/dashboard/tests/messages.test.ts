/** Text messages: what is known is read, everything else is passed over, whatever it is. */

import { describe, expect, it } from "vitest";
import { readMessage } from "../src/protocol/messages";
import { Lateness, occasionOf } from "../src/store/occasions";

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

const of = (kind: string, detail: Record<string, unknown>, tick = 1) => occasionOf({ log: "system", seq: 1, tick, kind, detail }, new Lateness(), 20);

it("knows which events somebody has to know of", () => {
  expect(of("system", { event: "worker_lost", worker: 3, reason: "closed" })).toMatchObject({ severity: "error" });
  expect(of("lifecycle", { status: "paused", cause: "history_full" })?.text).toContain("database");
  expect(of("lifecycle", { status: "paused", cause: "requested" })).toBeNull();
  expect(of("system", { event: "late", ticks: 1 })).toBeNull();
  expect(of("system", { event: "late", ticks: 300 })?.severity).toBe("warning");
  expect(of("system", { event: "of a later version" })).toBeNull();
  expect(of("fault", {})).toBeNull();
});

it("tells one worker that was lost from another, and one tick that two computed differently from another", () => {
  const lost = (worker: number) => of("system", { event: "worker_lost", worker, reason: "closed" });
  expect(lost(1)?.key).not.toBe(lost(2)?.key);
  expect(of("system", { event: "digest_mismatch" }, 7)?.text).not.toBe(of("system", { event: "digest_mismatch" }, 8)?.text);
});

describe("late ticks", () => {
  /** What is said of a run with so many ticks a second, of which the log tells at each of these ticks so many as late. */
  const said = (perS: number, told: [tick: number, ticks: number][]) => {
    const lateness = new Lateness();
    return told.map(([tick, ticks]) => lateness.handle(tick, ticks, perS));
  };
  const everyS = (perS: number, seconds: number, ticks: number) => Array.from({ length: seconds }, (_, s): [number, number] => [1000 + perS * s, ticks]);

  it("of a run at the pace of life are said, though a second has only twenty of them", () => {
    expect(said(20, [[1000, 1], ...everyS(20, 3, 20).map(([tick, ticks]): [number, number] => [tick + 20, ticks])]).at(-1)).toEqual({ ticks: 61, due: 80 });
  });
  it("of a run with one tick a second are said after a few", () => {
    expect(said(1, everyS(1, 5, 1)).map((late) => late?.ticks ?? 0)).toEqual([0, 0, 3, 4, 5]);
  });
  it("that are a handful of many are not said, however long it goes on", () => {
    expect(said(1000, everyS(1000, 300, 30)).every((late) => late === null)).toBe(true);
    expect(said(1000, everyS(1000, 3, 60)).at(-1)).toEqual({ ticks: 180, due: 3000 });
  });
  it("of one bad second are said, however good it was before", () => {
    expect(
      said(20, [
        [1000, 1],
        [100_000, 1],
      ]).at(-1),
    ).toBeNull();
    expect(
      said(20, [
        [1000, 1],
        [100_000, 12],
      ]).at(-1),
    ).toEqual({ ticks: 12, due: 20 });
  });
  it("of a long standstill are said, though they are told at once", () =>
    expect(
      said(20, [
        [1000, 1],
        [1200, 150],
      ]).at(-1),
    ).toEqual({ ticks: 150, due: 150 }));
  it("become bad soon, though they were few for an hour", () => {
    const worse = Array.from({ length: 5 }, (_, s): [number, number] => [1000 + 20 * 3600 + 20 * s, 20]);
    const told = said(20, [...everyS(20, 3600, 0), ...worse]);
    expect(told.at(-1)).not.toBeNull();
  });
  it("of ticks that come anew count anew", () =>
    expect(
      said(20, [
        [1000, 1],
        [1020, 20],
        [500, 20],
      ]).at(-1),
    ).toEqual({ ticks: 20, due: 20 }));
});
