/** What a machine may be doing, in the order of the codes of docs/stream.md. */

export const STATES = ["idle", "travelling", "working", "turning", "returning", "refilling", "queueing", "charging", "faulted", "holding"] as const;

export type State = (typeof STATES)[number];

/** Name of a state's code; a later version of the server may know more of them. */
export function stateName(code: number): State | "unknown" {
  return STATES[code] ?? "unknown";
}
