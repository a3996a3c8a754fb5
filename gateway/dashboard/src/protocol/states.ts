/** What a machine may be doing, in the order of the codes of docs/stream.md. */

export const STATES = ["idle", "travelling", "working", "turning", "returning", "refilling", "queueing", "charging", "faulted", "holding"] as const;

export type State = (typeof STATES)[number];

/** What a machine does in each, in a sentence. */
export const STATE_MEANS: Record<State, string> = {
  idle: "Stands without work, until there is some for it.",
  travelling: "On its way to a row, or to where it was sent.",
  working: "Works along a row.",
  turning: "Turns from one row into the next.",
  returning: "On its way to a charger, to a place to wait for one, or home.",
  refilling: "Fills its tank; no farm of this version has tanks.",
  queueing: "Waits for a free charger; a disc on the map shows at which, and how many do.",
  charging: "Stands on a charger.",
  faulted: "Broke down, and stands until it is repaired.",
  holding: "Stands: it waits until its way is free, or was told to hold, or is where it was sent.",
};

/** Name of a state's code; a later version of the server may know more of them. */
export function stateName(code: number): State | "unknown" {
  return STATES[code] ?? "unknown";
}
