/** What the metrics of a simulation say over time, for plots: a bounded window that is filled from the API. */

import { signal } from "@preact/signals";
import type { Api, Simulation, Snapshot } from "../api/client";
import { asProblem } from "../api/problem";
import { STATES } from "../protocol/states";
import { alert, settle } from "./page";
import { Series } from "./series";

/** Wall time that the window shows, s, and rows in it: one a second, as often as they are taken, with some to spare. */
const WINDOW_S = 300;
const MAX_ROWS = 320;
const SLOWEST_TICKS_PER_S = 0.2;
const MAX_PAGES = 3;
/** Nothing is told of a run that stands: a longer time without a row is a gap of the plots, s. */
export const LONGEST_GAP_S = 15;

const AGGREGATES = ["at_s", "achieved", "late", "charge", "charging", "queueing"] as const;
export const timings = new Series([...AGGREGATES, ...STATES, "p50", "p99", "worst", "deadline"], MAX_ROWS);
export const timingsVersion = signal(0);
export const timingsTrouble = signal<string | null>(null);
/** The speed of the run, and the tick at which the page first saw it: what is older may have had any. */
let speed: Simulation["speed"] | null = null;
let speedFromTick = 0;
/** The first row since then, which may have ticks of the speed before. */
let mixedUntilTick: number | null = null;
/** History that is behind by more than so long, s, at so many looks in a row is said to be: it is written every few seconds. */
const BEHIND_S = 15;
const BEHIND_LOOKS = 3;
let looksBehind = 0;
/** Grows when rows are taken out: an answer to what was asked before then would bring them back, or those of another simulation. */
let generation = 0;

/** Takes out every row, for another simulation. */
export function clearTimings(): void {
  dropTimingsFrom(0);
  speed = null;
  speedFromTick = 0;
  mixedUntilTick = null;
  timingsTrouble.value = null;
}

/** Takes out the rows of ticks that became void. */
export function dropTimingsFrom(tick: number): void {
  generation += 1;
  endLag();
  timings.dropFrom(tick);
  timingsVersion.value += 1;
}

function number(of: unknown, ...path: string[]): number {
  let value = of;
  for (const name of path) value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : null;
  return typeof value === "number" ? value : Number.NaN;
}

/** Time that a tick has of the wall, us; null where it has as much as it takes. */
export function deadlineOf({ speed, tick_ms }: Pick<Simulation, "speed" | "tick_ms">): number | null {
  return speed === "max" ? null : (tick_ms * 1000) / speed;
}

/** Adds a snapshot, of ticks with this deadline; fields that are missing leave a gap. */
export function pushSnapshot(series: Series, snapshot: Snapshot, deadlineUs: number | null = null): void {
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
    (deadlineUs ?? Number.NaN) / 1000,
  ]);
}

/** Adds a snapshot to the window, from which what is too old by the server's clock goes, however slowly rows came. */
export function addSnapshot(snapshot: Snapshot, deadlineUs: number | null = null): void {
  pushSnapshot(timings, snapshot, deadlineUs);
  timings.dropBelow("at_s", Date.parse(snapshot.at) / 1000 - WINDOW_S);
  // It is of the ticks since the one before.
  if (mixedUntilTick === null && snapshot.tick >= speedFromTick) mixedUntilTick = snapshot.tick;
}

/** The first tick of the window whose timings are all of the speed of now; null where there is none yet. */
export function recentFromTick(): number | null {
  const { firstTick, lastTick } = timings;
  const before = Math.max(firstTick ?? 0, mixedUntilTick ?? 0);
  return lastTick !== null && mixedUntilTick !== null && lastTick > before ? before + 1 : null;
}

/** Ticks of the window, how many of them were late, by the deadlines that they had, and its length, s; null where it is not known yet. */
export function recentLate(): { late: number; ticks: number; spanS: number } | null {
  const { firstTick, lastTick } = timings;
  if (firstTick === null || lastTick === null || lastTick === firstTick) return null;
  const grown = (name: string) => (timings.column(name).at(-1) as number) - (timings.column(name)[0] as number);
  return { late: Math.max(grown("late"), 0), ticks: lastTick - firstTick, spanS: grown("at_s") };
}

/** Late ticks since the row before. */
export function lateByRow(): number[] {
  const late = timings.column("late");
  return late.map((all, n) => (n === 0 ? Number.NaN : Math.max(all - (late[n - 1] as number), 0)));
}

/** Share of a simulation's own ticks that were late: a fork begins at its parent's tick, and with none of its late ones. */
export function lateShare({ late_ticks, tick, parent_tick }: Pick<Simulation, "late_ticks" | "tick" | "parent_tick">): number {
  const own = tick - (parent_tick ?? 0);
  return own > 0 ? late_ticks / own : 0;
}

/** Ticks a second of wall time, as far as they are known. */
export function ticksPerS(simulation: Simulation): number {
  const asked = simulation.speed === "max" ? simulation.achieved_speed : simulation.speed;
  const speed = simulation.achieved_speed > 0 ? simulation.achieved_speed : Number(asked);
  return Math.max((speed * 1000) / simulation.tick_ms, SLOWEST_TICKS_PER_S);
}

/** What was taken at another speed says nothing of the deadline of now. */
function handleSpeed(simulation: Simulation): void {
  if (speed === simulation.speed) return;
  speed = simulation.speed;
  speedFromTick = simulation.tick;
  mixedUntilTick = null;
}

/** Gets what is new since the last row, or the last minutes. */
export async function refreshTimings(api: Api, simulation: Simulation): Promise<void> {
  handleSpeed(simulation);
  watchHistory(simulation);
  const asked = generation;
  const deadlineUs = deadlineOf(simulation);
  const aSecond = ticksPerS(simulation);
  // No more than there is room for, also of a time in which ticks took longer; at the pace of now every one of them.
  const every = Math.max(Math.floor((aSecond * WINDOW_S) / MAX_ROWS), 1);
  const oldest = Math.max(Math.floor(simulation.tick - aSecond * WINDOW_S), 0);
  let cursor: string | null = null;
  const from_tick = Math.max((timings.lastTick ?? -1) + 1, oldest);
  try {
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer: Awaited<ReturnType<Api["metrics"]>> = await api.metrics(simulation.id, { from_tick, every, limit: MAX_ROWS, cursor });
      if (asked !== generation) return;
      for (const snapshot of answer.items) addSnapshot(snapshot, snapshot.tick > speedFromTick ? deadlineUs : null);
      cursor = answer.next_cursor;
      if (cursor === null) break;
    }
    timingsTrouble.value = null;
  } catch (error) {
    if (asked !== generation) return;
    timingsTrouble.value = asProblem(error).sentence;
  }
  timingsVersion.value += 1;
}

/** Says as long as it is so that the history is written more slowly than the run goes on: what waits is bounded, and the run pauses then. */
function watchHistory(simulation: Simulation): void {
  const behindS = simulation.history_lag_ticks / ticksPerS(simulation);
  if (simulation.status !== "running" || behindS < BEHIND_S) return endLag();
  looksBehind += 1;
  if (looksBehind !== BEHIND_LOOKS) return;
  const text = "The history is written more slowly than the run goes on: the database does not keep up. The run pauses when too much waits.";
  alert("history", text, "warning", { lasts: "simulation" });
}

function endLag(): void {
  if (looksBehind >= BEHIND_LOOKS) settle("history");
  looksBehind = 0;
}
