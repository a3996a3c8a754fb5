/** Which events, and which pace, are occasions for an alert, and how they are said. Pure. */

import type { Simulation } from "../api/client";
import type { FarmEvent } from "../protocol/messages";
import type { Severity } from "./alerts";

export interface Occasion {
  key: string;
  severity: Severity;
  text: string;
}

/** Why a run has the status it has, for people. */
export const CAUSES: Record<string, string> = {
  requested: "as requested",
  last_tick: "its last tick is done",
  digest_mismatch: "two workers computed different states; see the log of the orchestrator",
  late: "it was a second behind, and was created to fail then; create it with late_policy dilate",
  unable: "a worker cannot compute it; see the worker's log",
  history_full: "its history waits for a database that does not write; mend that, then resume",
  disk_full: "the disk is full; free some space, then resume",
  unrecoverable: "its state could not be restored; see the log of the orchestrator",
};

/** Late ticks from which on somebody should know: so many, and such a share of those that were due. Fewer are a hiccup of the computer. */
const MANY_LATE_TICKS = 3;
const MANY_LATE_SHARE = 0.05;
/** The log tells late ticks about once a second: what comes within so long, s, belongs together, but no more than so long together. */
const LATE_TOGETHER_S = 3;
const LONGEST_LATE_S = 60;

/** A run whose speed is less than this share of what is asked for is too slow. */
const LEAST_SHARE_OF_SPEED = 0.9;

/** Whether a run goes slower than it is asked to, as far as the server says now. */
export function isSlow({ status, speed, achieved_speed, replaying_to }: Simulation): boolean {
  return status === "running" && replaying_to == null && typeof speed === "number" && achieved_speed < speed * LEAST_SHARE_OF_SPEED;
}

/** Said as long as a run is too slow. */
export const SLOW: Occasion = {
  key: "slow",
  severity: "warning",
  text: "The run is slower than asked: its ticks take longer than their deadline allows. Lower the speed, or add a worker.",
};
/** What is a part of that, and need not be said beside it. */
export const PARTS_OF_SLOW: readonly string[] = ["late", "dilated"];

/**
 * Late ticks, of those that were due since lateness began. They are told second by second, of which a fast run has thousands of
 * ticks and a slow one has one: a number alone does not say how bad it is.
 */
export class Lateness {
  #fromTick = 0;
  #toldAt: number | null = null;
  #ticks = 0;

  /** Takes so many that are told at a tick of a run with so many ticks a second; null where nobody has to know. */
  handle(tick: number, ticks: number, ticksPerS: number): { ticks: number; due: number } | null {
    const toldAt = this.#toldAt;
    const together = Math.max(ticksPerS, 1) * LATE_TOGETHER_S;
    const longest = Math.max(ticksPerS, 1) * LONGEST_LATE_S;
    if (toldAt === null || tick <= toldAt || tick - toldAt > together) this.#begin(tick - Math.max(Math.ceil(ticksPerS), ticks));
    else if (toldAt - this.#fromTick > longest) this.#begin(toldAt);
    this.#toldAt = tick;
    this.#ticks += ticks;
    const late = { ticks: this.#ticks, due: tick - this.#fromTick };
    return late.ticks >= MANY_LATE_TICKS && late.ticks >= late.due * MANY_LATE_SHARE ? late : null;
  }

  #begin(tick: number): void {
    this.#fromTick = tick;
    this.#ticks = 0;
  }
}

/** Whether a run came to its status as it was meant to. */
export function isMeant(cause: string): boolean {
  return ["", "requested", "last_tick"].includes(cause);
}

/** The alert that an event of a run with so many ticks a second is an occasion for; null where it is none. */
export function occasionOf(event: FarmEvent, lateness: Lateness, ticksPerS: number): Occasion | null {
  const { detail } = event;
  const text = (name: string) => (typeof detail[name] === "string" || typeof detail[name] === "number" ? String(detail[name]) : "");
  if (event.kind === "lifecycle") {
    const cause = text("cause");
    if (isMeant(cause)) return null;
    return { key: "lifecycle", severity: "error", text: `The run is ${text("status")}: ${CAUSES[cause] ?? cause}.` };
  }
  if (event.kind !== "system") return null;
  switch (detail["event"]) {
    case "worker_lost":
      return {
        key: `worker_lost:${text("worker")}`,
        severity: "error",
        text: `Worker ${text("worker")} was lost: ${text("reason")}. Its machines go to another, as soon as there is one.`,
      };
    case "worker_suspect":
      return { key: `worker_suspect:${text("worker")}`, severity: "warning", text: `Worker ${text("worker")} does not answer in time.` };
    case "no_worker":
      return { key: "no_worker", severity: "error", text: "No worker is there: the run waits. Start one with autofarm worker." };
    case "digest_mismatch":
      return { key: "digest_mismatch", severity: "error", text: `Two workers computed different states of tick ${event.tick}.` };
    case "unrecoverable":
      return { key: "unrecoverable", severity: "error", text: `The run cannot be restored: ${text("reason")}.` };
    case "dilated":
      return { key: "dilated", severity: "warning", text: "The run fell more than a second behind: its deadlines were shifted." };
    case "late": {
      const late = lateness.handle(event.tick, Number(detail["ticks"]) || 0, ticksPerS);
      if (late === null) return null;
      const [ticks, due] = [late.ticks, late.due].map((number) => number.toLocaleString("en"));
      return { key: "late", severity: "warning", text: `${ticks} of the last ${due} ticks were complete only after their deadline.` };
    }
    default:
      return null;
  }
}
