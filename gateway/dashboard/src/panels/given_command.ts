/** A command as it is sent, made of what the form holds; and what became of it, as the events tell. Pure. */

import type { Command } from "../api/client";
import type { FarmEvent } from "../protocol/messages";
import type { Fleet } from "../stream/channel";

export type Target = "machine" | "site" | "all";

/** The machine at which a command is given: its row in the fleet and its site, as far as they are known. */
export interface Addressed {
  id: number;
  row: number | null;
  site: number | null;
}

export interface Given {
  command: Command;
  /** Machines that it is for; null where that is not known. */
  machines: number | null;
}

/**
 * The command for a target, or why it cannot be given. A place is typed in the world, as the page shows it, and sent in the
 * frame of the machine's site, as the API takes it; nothing is sent that would be understood otherwise than it was meant.
 */
export function givenTo(target: Target, machine: Addressed, command: Command, fleet: Fleet | null): Given | string {
  const site = machine.site ?? (machine.row === null ? null : (fleet?.siteOfRow[machine.row] ?? null));
  let { args } = command;
  if (command.command === "goto") {
    if (target === "all") return "Sites differ in where they are: a place is given to one machine or one site.";
    const [east, north] = site === null || fleet === null ? [] : [fleet.originsM[site * 2], fleet.originsM[site * 2 + 1]];
    if (east === undefined || north === undefined || Number.isNaN(east)) return "It is not known yet where its site is. Try again when the map shows it.";
    args = { ...args, x_m: Number(args?.["x_m"]) - east, y_m: Number(args?.["y_m"]) - north };
  }
  const sent: Command = { command: command.command, ...(args !== undefined && Object.keys(args).length > 0 ? { args } : {}) };
  if (target === "all") return { command: { ...sent, all: true }, machines: fleet?.machines ?? null };
  if (target === "machine") return { command: { ...sent, entity: machine.id }, machines: 1 };
  if (site === null) return "It is not known yet which its site is. Try again in a moment.";
  const machines = fleet === null ? null : fleet.siteOfRow.reduce((sum, other) => (other === site ? sum + 1 : sum), 0);
  return { command: { ...sent, site }, machines };
}

export interface Outcome {
  /** Machines that carried it out. */
  done: number;
  /** Machines that rejected it, by reason. */
  rejected: ReadonlyMap<string, number>;
}

/** What became of a command: it is told site by site, and a rejection by its reason too. */
export function outcomeOf(events: readonly FarmEvent[], seq: number): Outcome {
  let done = 0;
  const rejected = new Map<string, number>();
  for (const { kind, detail, entities } of events) {
    if (detail["command_seq"] !== seq) continue;
    const machines = entities?.length ?? 1;
    if (kind === "command") done += machines;
    if (kind === "command_rejected") {
      const reason = String(detail["reason"]);
      rejected.set(reason, (rejected.get(reason) ?? 0) + machines);
    }
  }
  return { done, rejected };
}
