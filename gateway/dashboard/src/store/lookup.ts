/** What is asked for once when a simulation is opened: the classes of its machines, and what happened just before. */

import type { Api } from "../api/client";
import type { FarmEvent, Hello } from "../protocol/messages";
import { MAX_EVENTS } from "./event_log";
import { api } from "./page";
import * as state from "./state";
import { ticksPerS } from "./timings";

/** Classes are told machine by machine, in pages; no more are asked for than this. */
const CLASS_PAGE = 1_000;
const MAX_CLASS_PAGES = 20;
/** The list of events begins with those of the last so many seconds, changes of state aside, for there are too many. */
const PAST_S = 30;
const PAST_KINDS = "fault,repaired,command,command_rejected,stand_off,lifecycle,system";
const MAX_PAST_PAGES = 3;

/** What happened in the moments before the page was opened, so that nobody begins with an empty list. */
export async function loadPast({ simulation }: Hello): Promise<void> {
  const from_tick = Math.max(Math.floor(simulation.tick - ticksPerS(simulation) * PAST_S), 0);
  const past: FarmEvent[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAST_PAGES; page += 1) {
    const query: Parameters<Api["events"]>[1] = { from_tick, kind: PAST_KINDS, limit: MAX_EVENTS, cursor };
    const answer: Awaited<ReturnType<Api["events"]>> | null = await api.events(simulation.id, query).catch(() => null);
    if (answer === null) break;
    past.push(...(answer.items as FarmEvent[]));
    cursor = answer.next_cursor;
    if (cursor === null) break;
  }
  if (state.place.value.simulation !== simulation.id) return;
  state.eventLog.addPast(past);
  state.eventVersion.value += 1;
}

/** Gets the class of every machine, for the stream does not tell it; null where there are too many to ask for. */
export async function loadClasses(): Promise<Uint8Array | null> {
  const open = state.simulation.value;
  const known = state.fleet.value;
  if (open === null || known === null) return null;
  if (state.scenarios.value.length === 0) state.scenarios.value = (await api.scenarios().catch(() => ({ items: [] }))).items;
  const names = state.scenarios.value.find((scenario) => scenario.name === open.scenario)?.classes ?? [];
  state.classNames.value = names;
  if (names.length === 0) return null;
  const classOfRow = new Uint8Array(known.machines);
  if (names.length === 1) {
    state.classOfRow.value = classOfRow;
    return classOfRow;
  }
  if (known.machines > CLASS_PAGE * MAX_CLASS_PAGES) return null;
  // All but the first are asked for; who is not listed is of the first.
  const rowOfId = new Map(Array.from(known.ids, (id, row) => [id, row]));
  for (let kind = 1; kind < names.length; kind += 1) {
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<Api["machines"]>> | null = await api
        .machines(open.id, { class: names[kind] as string, limit: CLASS_PAGE, cursor })
        .catch(() => null);
      if (page === null || state.fleet.value !== known) return null;
      for (const machine of page.items) {
        const row = rowOfId.get(machine.id);
        if (row !== undefined) classOfRow[row] = kind;
      }
      cursor = page.next_cursor;
    } while (cursor !== null);
  }
  state.classOfRow.value = classOfRow;
  return classOfRow;
}
