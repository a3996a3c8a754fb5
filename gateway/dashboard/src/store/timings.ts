/** What the metrics of a simulation say over time, for plots: a bounded window that is filled from the API. */

import { signal } from "@preact/signals";
import type { Api, Simulation, Snapshot } from "../api/client";
import { asProblem } from "../api/problem";
import { STATES } from "../protocol/states";
import { Series } from "./series";

/** Wall time that the window shows, s, and rows in it. */
const WINDOW_S = 300;
const MAX_ROWS = 160;
const SLOWEST_TICKS_PER_S = 0.2;
const MAX_PAGES = 3;
/** Nothing is told of a run that stands: a longer time without a row is a gap of the plots, s. */
export const LONGEST_GAP_S = 15;

const AGGREGATES = ["at_s", "achieved", "late", "charge", "charging", "queueing"] as const;
export const timings = new Series([...AGGREGATES, ...STATES, "p50", "p99", "worst"], MAX_ROWS);
export const timingsVersion = signal(0);
export const timingsTrouble = signal<string | null>(null);
/** Grows when rows are taken out: an answer to what was asked before then would bring them back, or those of another simulation. */
let generation = 0;

/** Takes out every row, for another simulation. */
export function clearTimings(): void {
  dropTimingsFrom(0);
  timingsTrouble.value = null;
}

/** Takes out the rows of ticks that became void. */
export function dropTimingsFrom(tick: number): void {
  generation += 1;
  timings.dropFrom(tick);
  timingsVersion.value += 1;
}

function number(of: unknown, ...path: string[]): number {
  let value = of;
  for (const name of path) value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : null;
  return typeof value === "number" ? value : Number.NaN;
}

/** Adds a snapshot; fields that are missing leave a gap. */
export function pushSnapshot(series: Series, snapshot: Snapshot): void {
  const { aggregates } = snapshot;
  const whole = snapshot.stages.find((stage) => stage.stage === "tick_latency");
  series.push(snapshot.tick, [
    Date.parse(snapshot.at) / 1000,
    snapshot.achieved_speed,
    snapshot.late_ticks,
    number(aggregates, "battery_mean_percent"),
    number(aggregates, "by_state", "charging"),
    number(aggregates, "by_state", "queueing"),
    ...STATES.map((state) => number(aggregates, "by_state", state)),
    (whole?.p50_us ?? Number.NaN) / 1000,
    (whole?.p99_us ?? Number.NaN) / 1000,
    (whole?.max_us ?? Number.NaN) / 1000,
  ]);
}

/** Ticks a second of wall time, as far as they are known. */
export function ticksPerS(simulation: Simulation): number {
  const asked = simulation.speed === "max" ? simulation.achieved_speed : simulation.speed;
  const speed = simulation.achieved_speed > 0 ? simulation.achieved_speed : Number(asked);
  return Math.max((speed * 1000) / simulation.tick_ms, SLOWEST_TICKS_PER_S);
}

/** Gets what is new since the last row, or the last minutes. */
export async function refreshTimings(api: Api, simulation: Simulation): Promise<void> {
  const asked = generation;
  const aSecond = ticksPerS(simulation);
  const every = Math.max(Math.round((aSecond * WINDOW_S) / MAX_ROWS), 1);
  const oldest = Math.max(Math.floor(simulation.tick - aSecond * WINDOW_S), 0);
  let cursor: string | null = null;
  const from_tick = Math.max((timings.lastTick ?? -1) + 1, oldest);
  try {
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer: Awaited<ReturnType<Api["metrics"]>> = await api.metrics(simulation.id, { from_tick, every, limit: MAX_ROWS, cursor });
      if (asked !== generation) return;
      for (const snapshot of answer.items) pushSnapshot(timings, snapshot);
      cursor = answer.next_cursor;
      if (cursor === null) break;
    }
    // Of a run that stood, what came before is further back than its ticks tell.
    timings.dropBelow("at_s", (timings.column("at_s").at(-1) ?? 0) - WINDOW_S);
    timingsTrouble.value = null;
  } catch (error) {
    if (asked !== generation) return;
    timingsTrouble.value = asProblem(error).sentence;
  }
  timingsVersion.value += 1;
}
