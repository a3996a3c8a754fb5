/** Which simulations the list shows: the newest first, of one status or of any, and no more than are wanted. Pure. */

import type { Simulation } from "../api/client";

export const STATUSES = ["created", "running", "paused", "stopped", "completed", "failed"] as const satisfies readonly Simulation["status"][];
export type StatusFilter = "" | (typeof STATUSES)[number];

/** Simulations are as the server lists them, the oldest first. */
export function listed(simulations: readonly Simulation[], status: StatusFilter, most: number): { shown: Simulation[]; more: number } {
  const wanted = simulations.filter((one) => status === "" || one.status === status);
  return { shown: wanted.slice(-most).reverse(), more: Math.max(wanted.length - most, 0) };
}
