/** The sums over all machines that every tick carries, by name. */

import { STATES } from "./states";

/** Sums of a tick, 8 bytes each. */
export const SUMS = 36;
/** Where in a binary tick they begin. */
export const SUMS_FROM = 56;

export const COUNTERS = [
  "turns",
  "swaths",
  "charger_waits",
  "charges",
  "denied_grants",
  "faults",
  "repairs",
  "commands",
  "rejected_commands",
  "stand_offs",
  "separation_violations",
  "ghosts",
  "ghost_bytes",
] as const;

export type Counter = (typeof COUNTERS)[number];

export interface Sums {
  machines: number;
  /** Mean charge, 0 to 1. */
  meanCharge: number;
  meanSpeedMPerS: number;
  /** Machines in each state, by code. */
  byState: number[];
  /** Machines by tenth of charge, emptiest first. */
  byCharge: number[];
  counters: Record<Counter, number>;
}

/** A charge of 1 in the units of the sum. */
const FULL_CHARGE = 2 ** 30;
const MM_PER_M = 1000;
const STATE_SUMS_FROM = 3;
const CHARGE_SUMS_FROM = 13;
const COUNTERS_FROM = 23;

/** Reads the sums of a binary tick whose length was checked. */
export function readSums(data: DataView, from: number): Sums {
  const sum = (n: number) => Number(data.getBigUint64(from + n * 8, true));
  const signed = (n: number) => Number(data.getBigInt64(from + n * 8, true));
  const machines = sum(0);
  const each = Math.max(machines, 1);
  const counters = COUNTERS.map((name, n) => [name, sum(COUNTERS_FROM + n)]);
  return {
    machines,
    meanCharge: signed(1) / FULL_CHARGE / each,
    meanSpeedMPerS: signed(2) / MM_PER_M / each,
    byState: STATES.map((_, n) => sum(STATE_SUMS_FROM + n)),
    byCharge: Array.from({ length: 10 }, (_, n) => sum(CHARGE_SUMS_FROM + n)),
    counters: Object.fromEntries(counters) as Record<Counter, number>,
  };
}
