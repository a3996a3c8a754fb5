/** Which rows of the table are drawn, and how they are ordered. Pure. */

import type { Machine } from "../api/client";
import { STATES } from "../protocol/states";

/** Height of a row, px, as the style sheet sets it. */
export const ROW_PX = 30;
/** Rows that are drawn beyond what is seen, so that none is missing while it scrolls. */
const SPARE = 8;

export type SortBy = "id" | "state" | "charge" | "speed" | "site";

/** The rows to draw, from the first on and up to but without the last. */
export function seenRows(scrollTop: number, height: number, rows: number): { from: number; to: number } {
  const from = Math.min(Math.max(Math.floor(scrollTop / ROW_PX) - SPARE, 0), rows);
  const to = Math.min(Math.ceil((scrollTop + height) / ROW_PX) + SPARE, rows);
  return { from, to: Math.max(from, to) };
}

function key(machine: Machine, by: SortBy): number {
  switch (by) {
    case "id":
      return machine.id;
    case "site":
      return machine.site;
    case "state":
      return machine.now === null ? STATES.length : STATES.indexOf(machine.now.state);
    case "charge":
      return machine.now?.battery ?? -1;
    case "speed":
      return machine.now?.speed ?? -1;
  }
}

/** Order of two machines; those that are equal in what is sorted by stand in order of their ids. */
export function compared(a: Machine, b: Machine, by: SortBy): number {
  return key(a, by) - key(b, by) || a.id - b.id;
}
