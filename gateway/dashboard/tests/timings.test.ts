/** Snapshots of the metrics become rows of a plot. */

import { expect, it } from "vitest";
import type { Api, Simulation, Snapshot } from "../src/api/client";
import { pushSnapshot, refreshTimings, ticksPerS, timings } from "../src/store/timings";

const snapshot = (tick: number, aggregates: unknown): Snapshot => ({
  tick,
  at: "2026-01-01T00:00:01.500Z",
  aggregates: aggregates as Snapshot["aggregates"],
  late_ticks: 3,
  achieved_speed: 9.5,
  stages: [{ stage: "tick_latency", count: 1, p50_us: 2000, p90_us: 3000, p99_us: 4000, p99_9_us: 5000, max_us: 6000 }],
});

it("takes what it knows of a snapshot, and leaves a gap for what is missing", () => {
  timings.clear();
  pushSnapshot(timings, snapshot(10, { battery_mean_percent: 75, by_state: { working: 8, charging: 2 } }));
  pushSnapshot(timings, snapshot(20, "of a later version"));
  expect(timings.column("charge")).toEqual([75, Number.NaN]);
  expect(timings.column("working")).toEqual([8, Number.NaN]);
  expect(timings.column("idle")).toEqual([Number.NaN, Number.NaN]);
  expect([timings.column("p50")[0], timings.column("p99")[0], timings.column("worst")[0]]).toEqual([2, 4, 6]);
  expect(timings.column("at_s")[0]).toBe(Date.parse("2026-01-01T00:00:01.500Z") / 1000);
});

it("shows the last minutes of a run that stood, and not the hour before", async () => {
  timings.clear();
  const at = (seconds: number) => new Date(seconds * 1000).toISOString();
  const items = [10, 11, 3600, 3601].map((seconds, tick) => ({ ...snapshot(tick + 1, {}), at: at(seconds) }));
  const api = { metrics: async () => ({ items, next_cursor: null }) } as unknown as Api;
  await refreshTimings(api, { id: "a", speed: 1, achieved_speed: 1, tick_ms: 50, tick: 4 } as Simulation);
  expect(timings.column("at_s")).toEqual([3600, 3601]);
  timings.clear();
});

it("knows how many ticks a second of the wall has", () => {
  const of = (speed: Simulation["speed"], achieved_speed: number) => ticksPerS({ speed, achieved_speed, tick_ms: 50 } as Simulation);
  expect(of(10, 5)).toBe(100);
  expect(of(10, 0)).toBe(200);
  expect(of("max", 0)).toBeGreaterThan(0);
});
