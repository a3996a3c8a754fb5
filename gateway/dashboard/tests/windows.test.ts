/** What is kept is bounded, and void things go. */

import { describe, expect, it } from "vitest";
import type { FarmEvent } from "../src/protocol/messages";
import { Alerts } from "../src/store/alerts";
import { EventLog, GROUPS } from "../src/store/event_log";
import { Series } from "../src/store/series";

const event = (log: "sim" | "system", seq: number, kind = "fault"): FarmEvent => ({ log, seq, tick: seq, kind, detail: {} });

describe("series", () => {
  it("never holds more than its limit and an eighth, however long it runs", () => {
    const series = new Series(["a"], 80);
    let most = 0;
    for (let tick = 0; tick < 100_000; tick += 1) {
      series.push(tick, [tick]);
      most = Math.max(most, series.length);
    }
    expect(most).toBe(89);
    expect(series.lastTick).toBe(99_999);
    expect(series.column("a").at(-1)).toBe(99_999);
    expect(series.column("a")).toHaveLength(series.length);
  });
  it("passes over what is not newer, and drops what is void", () => {
    const series = new Series(["a", "b"], 10);
    for (const tick of [1, 2, 2, 1, 5, 9]) series.push(tick, [tick, -tick]);
    expect(series.column("a")).toEqual([1, 2, 5, 9]);
    series.dropFrom(5);
    expect(series.column("b")).toEqual([-1, -2]);
    series.push(5, [50, 60]);
    expect(series.lastTick).toBe(5);
  });
  it("takes out what is too old by a column, and nothing where all is or nothing is", () => {
    const series = new Series(["at"], 10);
    for (const at of [100, 101, 900, 901]) series.push(at, [at]);
    series.dropBelow("at", 50);
    series.dropBelow("at", 5000);
    expect(series.length).toBe(4);
    series.dropBelow("at", 601);
    expect(series.column("at")).toEqual([900, 901]);
    expect(series.lastTick).toBe(901);
  });
  it("refuses a row of another width", () => expect(() => new Series(["a"], 4).push(1, [])).toThrow());
});

describe("events", () => {
  it("are the newest, and those passed over are counted", () => {
    const log = new EventLog();
    const { held } = GROUPS.faults;
    for (let seq = 1; seq <= held * 3; seq += 1) log.add([event("sim", seq)], seq === 1 ? 5 : 0);
    expect(log.events).toHaveLength(held);
    expect(log.events.at(-1)?.seq).toBe(held * 3);
    expect(log.passedOver).toBe(held * 2 + 5);
  });
  it("of one kind do not drive out those of another, whose order stays", () => {
    const log = new EventLog();
    log.add([
      event("system", 1, "system"),
      event("sim", 1, "command"),
      event("sim", 2),
      event("system", 2, "lifecycle"),
      event("sim", 3, "of a later version"),
    ]);
    for (let seq = 4; seq < 10_000; seq += 1) log.add([event("sim", seq, "transition")]);
    expect(log.events.slice(0, 5).map((one) => one.kind)).toEqual(["system", "command", "fault", "lifecycle", "of a later version"]);
    expect(log.events).toHaveLength(5 + GROUPS.transitions.held);
  });
  it("are bounded, whatever their kinds", () => {
    const log = new EventLog();
    const kinds = ["transition", "fault", "repaired", "command", "command_rejected", "stand_off", "lifecycle", "system", "of a later version"];
    for (let round = 0; round < 30; round += 1)
      log.add(kinds.flatMap((kind, k) => Array.from({ length: 100 }, (_, n) => event("sim", round * 900 + k * 100 + n, kind))));
    expect(log.events.length).toBe(600 + 2_000 + 200 + 300 + 200 + 200);
  });
  it("of before come first, once, and no more than there is room for", () => {
    const log = new EventLog();
    const lost = { ...event("system", 3, "system"), tick: 700 };
    log.add([event("sim", 700), lost]);
    log.addPast([...Array.from({ length: 700 }, (_, n) => event("sim", n + 1)), lost]);
    expect(log.events).toHaveLength(GROUPS.faults.held + 1);
    expect(log.events.slice(-3).map((one) => one.seq)).toEqual([699, 700, 3]);
    expect(log.passedOver).toBe(700 - GROUPS.faults.held);
  });
  it("that the past brought already do not come twice when the stream brings them", () => {
    const log = new EventLog();
    log.addPast([event("sim", 6), event("sim", 7)]);
    log.add([event("sim", 7), event("sim", 8), event("system", 7)]);
    expect(log.events.map((one) => `${one.log}${one.seq}`)).toEqual(["sim6", "sim7", "sim8", "system7"]);
  });
  it("that are void go, each log by its own number", () => {
    const log = new EventLog();
    log.add([event("sim", 87), event("sim", 88), event("system", 8), event("system", 9), event("system", 88)]);
    log.drop({ fromTick: 1, fromEvent: 88, fromSystemEvent: 9 });
    expect(log.events.map((one) => [one.log, one.seq])).toEqual([
      ["sim", 87],
      ["system", 8],
    ]);
  });
});

describe("alerts", () => {
  it("are one an occasion, counted, and few", () => {
    const alerts = new Alerts();
    for (let n = 0; n < 100; n += 1) alerts.raise(`key${n % 20}`, "warning", "text", n);
    expect(alerts.list.length).toBeLessThanOrEqual(6);
    expect(alerts.list[0]).toMatchObject({ key: "key19", atMs: 99 });
  });
  it("that are warnings make room before one that is an error does, however old", () => {
    const alerts = new Alerts();
    alerts.raise("lifecycle", "error", "The run is failed.", 0);
    for (let n = 1; n <= 6; n += 1) alerts.raise(`warning${n}`, "warning", "text", n);
    expect(alerts.list.map((alert) => alert.key)).toEqual(["lifecycle", "warning6", "warning5", "warning4", "warning3", "warning2"]);
    for (let n = 1; n <= 5; n += 1) alerts.raise(`error${n}`, "error", "text", 10 + n);
    alerts.raise("late", "warning", "text", 20);
    expect(alerts.list.map((alert) => alert.key)).toEqual(["error5", "error4", "error3", "error2", "error1", "lifecycle"]);
    alerts.raise("error6", "error", "text", 30);
    expect(alerts.list.map((alert) => alert.key)).not.toContain("lifecycle");
    expect(alerts.list).toHaveLength(6);
  });
  it("go by themselves where they are warnings, and stay where they are errors", () => {
    const alerts = new Alerts();
    alerts.raise("late", "warning", "text", 0);
    alerts.raise("lost", "error", "text", 0);
    expect(alerts.expire(1_000)).toBe(false);
    expect(alerts.expire(100_000)).toBe(true);
    expect(alerts.list.map((alert) => alert.key)).toEqual(["lost"]);
  });
  it("of a state stay until it ends, and those of the page whatever is opened", () => {
    const alerts = new Alerts();
    alerts.raise("view", "warning", "text", 0, { lasts: "simulation" });
    alerts.raise("version", "warning", "text", 0, { lasts: "page" });
    expect(alerts.expire(10 * 3_600_000)).toBe(false);
    expect(alerts.settle("view")).toBe(true);
    expect(alerts.settle("view")).toBe(false);
    alerts.raise("view", "warning", "text", 0, { lasts: "simulation" });
    alerts.clear();
    expect(alerts.list.map((alert) => alert.key)).toEqual(["version"]);
  });
  it("that are errors are quiet in the same words alone", () => {
    const alerts = new Alerts();
    alerts.raise("lifecycle", "error", "The run is paused: its history waits.", 0);
    alerts.dismiss("lifecycle", 1_000);
    alerts.raise("lifecycle", "error", "The run is paused: its history waits.", 2_000);
    expect(alerts.list).toEqual([]);
    alerts.raise("lifecycle", "error", "The run is paused: the disk is full.", 2_000);
    expect(alerts.list).toHaveLength(1);
  });
  it("stay as long as they are said to hold, but for those that were dismissed", () => {
    const alerts = new Alerts();
    alerts.raise("slow", "warning", "text", 0);
    alerts.touch("slow", 50_000);
    expect(alerts.expire(60_000)).toBe(false);
    expect(alerts.list[0]).toMatchObject({ count: 1 });
    alerts.dismiss("slow", 60_000);
    alerts.touch("slow", 61_000);
    expect(alerts.list).toEqual([]);
  });
  it("are quiet for a while once dismissed", () => {
    const alerts = new Alerts();
    alerts.raise("late", "warning", "text", 0);
    alerts.dismiss("late", 1_000);
    alerts.raise("late", "warning", "text", 2_000);
    expect(alerts.list).toEqual([]);
    alerts.raise("late", "warning", "text", 62_001);
    expect(alerts.list).toHaveLength(1);
  });
  it("are quiet once dismissed for as long as there is cause for them without a pause", () => {
    const alerts = new Alerts();
    alerts.raise("late", "warning", "text", 0);
    alerts.dismiss("late", 1_000);
    for (let ms = 2_000; ms < 3_600_000; ms += 1_000) alerts.raise("late", "warning", "text", ms);
    expect(alerts.list).toEqual([]);
  });
  it("are counted in the same words alone, for others say more than the first", () => {
    const alerts = new Alerts();
    alerts.raise("late", "warning", "5 of 40 ticks", 0);
    alerts.raise("late", "warning", "9 of 60 ticks", 1);
    expect(alerts.list).toMatchObject([{ text: "9 of 60 ticks", count: 1 }]);
    alerts.raise("late", "warning", "9 of 60 ticks", 2);
    expect(alerts.list).toMatchObject([{ count: 2 }]);
  });
});
