/** Snapshots of the metrics become rows of a plot. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Api, Simulation, Snapshot } from "../src/api/client";
import { A, openPage, simulation } from "./page_fixture";

let page: Awaited<ReturnType<typeof openPage>>;
let store: typeof import("../src/store/timings");
beforeEach(async () => {
  page = await openPage(`#sim=${A}`);
  store = await import("../src/store/timings");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const snapshot = (tick: number, aggregates: unknown): Snapshot => ({
  tick,
  at: "2026-01-01T00:00:01.500Z",
  aggregates: aggregates as Snapshot["aggregates"],
  late_ticks: 3,
  achieved_speed: 9.5,
  stages: [{ stage: "tick_latency", count: 1, p50_us: 2000, p90_us: 3000, p99_us: 4000, p99_9_us: 5000, max_us: 6000 }],
});

it("takes what it knows of a snapshot, and leaves a gap for what is missing", () => {
  const { pushSnapshot, timings } = store;
  pushSnapshot(timings, snapshot(10, { battery_mean_percent: 75, by_state: { working: 8, charging: 2 } }));
  pushSnapshot(timings, snapshot(20, "of a later version"));
  expect(timings.column("charge")).toEqual([75, Number.NaN]);
  expect(timings.column("working")).toEqual([8, Number.NaN]);
  expect(timings.column("idle")).toEqual([Number.NaN, Number.NaN]);
  expect([timings.column("p50")[0], timings.column("p99")[0], timings.column("worst")[0]]).toEqual([2, 4, 6]);
  expect(timings.column("at_s")[0]).toBe(Date.parse("2026-01-01T00:00:01.500Z") / 1000);
});

it("shows the last minutes of a run that stood, and not the hour before", async () => {
  const { refreshTimings, timings } = store;
  const at = (seconds: number) => new Date(seconds * 1000).toISOString();
  const items = [10, 11, 3600, 3601].map((seconds, tick) => ({ ...snapshot(tick + 1, {}), at: at(seconds) }));
  const api = { metrics: async () => ({ items, next_cursor: null }) } as unknown as Api;
  await refreshTimings(api, { id: "a", speed: 1, achieved_speed: 1, tick_ms: 50, tick: 4 } as Simulation);
  expect(timings.column("at_s")).toEqual([3600, 3601]);
});

it("knows how many ticks a second of the wall has", () => {
  const of = (speed: Simulation["speed"], achieved_speed: number) => store.ticksPerS({ speed, achieved_speed, tick_ms: 50 } as Simulation);
  expect(of(10, 5)).toBe(100);
  expect(of(10, 0)).toBe(200);
  expect(of("max", 0)).toBeGreaterThan(0);
});

/** A snapshot that was taken so many seconds after the first one. */
const at = (atS: number, tick: number, late_ticks: number, max_us: number): Snapshot => ({
  ...snapshot(tick, {}),
  at: new Date(Date.UTC(2026, 0, 1) + atS * 1000).toISOString(),
  late_ticks,
  stages: [{ stage: "tick_latency", count: 20, p50_us: 2000, p90_us: 3000, p99_us: 4000, p99_9_us: 5000, max_us }],
});

describe("the last minutes", () => {
  it("hold every second of them, and nothing older by the clock", () => {
    for (let s = 0; s <= 1_000; s += 1) store.addSnapshot(at(s, 20 * s, 0, 2_000));
    expect(store.timings).toHaveLength(301);
    // The timings of its first row are of the second before it.
    expect(store.recentFromTick()).toBe(20 * 700 + 1);
    // The run stood for a night.
    store.addSnapshot(at(40_000, 20_020, 0, 5_000));
    expect(store.timings.column("at_s")).toHaveLength(1);
    expect(store.recentFromTick()).toBeNull();
  });
  it("ask for every second of a run whose snapshots are taken once a second", async () => {
    void store.refreshTimings(new (await import("../src/api/client")).Api(), simulation(A, { tick: 100_000, speed: 1, achieved_speed: 1, tick_ms: 10 }));
    const query = new URLSearchParams(page.server.open[0]?.what.split("?")[1]);
    expect(Number(query.get("every"))).toBeLessThan(100);
    expect(Number(query.get("every"))).toBeGreaterThan(90);
    expect(Number(query.get("limit"))).toBeGreaterThanOrEqual(300);
  });
  it("begin with the first row, and are not known without one that follows it", () => {
    expect(store.recentFromTick()).toBeNull();
    store.addSnapshot(at(1, 20, 0, 2_000));
    expect(store.recentFromTick()).toBeNull();
    store.addSnapshot(at(2, 40, 0, 2_000));
    expect(store.recentFromTick()).toBe(21);
    store.dropTimingsFrom(40);
    expect(store.recentFromTick()).toBeNull();
  });
  it("know how many of their ticks were late, whatever was before", () => {
    expect(store.recentLate()).toBeNull();
    for (let s = 0; s <= 1_000; s += 1) store.addSnapshot(at(s, 20 * s, s < 900 ? 7 : 7 + 20 * (s - 899), 2_000));
    expect(store.recentLate()).toEqual({ late: 20 * 101, ticks: 20 * 300, spanS: 300 });
    expect(store.lateByRow().at(-1)).toBe(20);
    expect(store.lateByRow()[1]).toBe(0);
    expect(store.lateByRow()[0]).toBeNaN();
  });
});

describe("a run whose speed is changed", () => {
  /** Its snapshots up to a second, at 20 ticks a second, taken while it has this speed. */
  const look = (s: number, speed: Simulation["speed"]) => {
    const api = { metrics: async () => ({ items: [at(s, 20 * s, 0, 2_000)], next_cursor: null }) } as unknown as Api;
    return store.refreshTimings(api, simulation(A, { tick: 20 * s, tick_ms: 50, speed }));
  };
  it("has the stages of the ticks since then alone, to be held against the deadline of now", async () => {
    // What was before this page came may have had another speed, too.
    await look(1, 1);
    expect(store.recentFromTick()).toBeNull();
    await look(2, 1);
    expect(store.recentFromTick()).toBe(21);
    // Of this interval a part is of the speed before.
    await look(3, 10);
    expect(store.recentFromTick()).toBeNull();
    await look(4, 10);
    expect(store.recentFromTick()).toBe(61);
  });
  it("keeps for each time the deadline that there was, as far as that is known", async () => {
    for (const [s, speed] of [
      [1, 1],
      [2, 1],
      [3, 10],
      [4, 10],
      [5, "max"],
      [6, "max"],
    ] as const)
      await look(s, speed);
    expect(store.timings.column("deadline")).toEqual([Number.NaN, 50, Number.NaN, 5, Number.NaN, Number.NaN]);
  });
});

it("the late share of a fork is of its own ticks", () => {
  expect(store.lateShare({ late_ticks: 100, tick: 1_000_200, parent_tick: 1_000_000 })).toBe(0.5);
  expect(store.lateShare({ late_ticks: 100, tick: 200, parent_tick: null })).toBe(0.5);
  expect(store.lateShare({ late_ticks: 0, tick: 58, parent_tick: 58 })).toBe(0);
});

describe("history that is behind", () => {
  /** The run goes on at 20 ticks a second, and so many ticks are not written. */
  const look = (history_lag_ticks: number, more: Partial<Simulation> = {}) => {
    const api = { metrics: async () => ({ items: [], next_cursor: null }) } as unknown as Api;
    return store.refreshTimings(api, simulation(A, { tick: 10_000, speed: 1, achieved_speed: 1, tick_ms: 50, history_lag_ticks, ...more }));
  };
  const keys = () => page.state.alertList.list.map((alert) => alert.key);

  it("is said once until it is not", async () => {
    for (let n = 0; n < 9; n += 1) await look(20 * 3);
    expect(keys()).toEqual([]);
    for (let n = 0; n < 9; n += 1) await look(20 * 16);
    expect(page.state.alertList.list).toMatchObject([{ key: "history", severity: "warning", count: 1 }]);
    await look(20 * 3);
    expect(keys()).toEqual([]);
  });
  it("is not said of a run that was fast a moment ago", async () => {
    for (let n = 0; n < 2; n += 1) await look(10_000);
    await look(20 * 3);
    await look(10_000);
    expect(keys()).toEqual([]);
  });
  it("is so no more when the run stands, or its ticks are void", async () => {
    for (let n = 0; n < 9; n += 1) await look(20 * 16);
    await look(20 * 16, { status: "paused" });
    expect(keys()).toEqual([]);
    for (let n = 0; n < 9; n += 1) await look(20 * 16);
    expect(keys()).toEqual(["history"]);
    store.dropTimingsFrom(1_000);
    expect(keys()).toEqual([]);
  });
});
