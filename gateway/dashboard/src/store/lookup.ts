/** What is asked for once when a simulation is opened: the classes of its machines, and what happened just before. */

import type { Api, Simulation } from "../api/client";
import type { FarmEvent, Hello } from "../protocol/messages";
import { api } from "./page";
import * as state from "./state";
import { ticksPerS } from "./timings";

/** Classes are told machine by machine, in pages; no more are asked for than this. */
const CLASS_PAGE = 1_000;
const MAX_CLASS_PAGES = 20;
/** Events of the past that are asked for at once. */
const MAX_PAST = 600;
/**
 * The list of events begins with those of the last so many seconds, changes of state aside, for there are too many: of the
 * longest of these times whose events come in one page. The API lists the oldest first, so that a part of more than a page
 * would leave a gap up to what comes live.
 */
const PASTS_S = [30, 8, 2, 0.5] as const;
/** What happened in the last moment before is not in the database yet; it is asked for so much later, ms, and is of so long, s. */
const REST_AFTER_MS = 3_000;
const REST_S = 4;
const PAST_KINDS = "fault,repaired,command,command_rejected,stand_off,lifecycle,system";

/** What happened in the moments before the page was opened, so that nobody begins with an empty list. */
export async function loadPast({ simulation }: Hello): Promise<void> {
  setTimeout(() => {
    if (state.status.value.phase === "open") void addPast(simulation, REST_S);
  }, REST_AFTER_MS);
  for (const pastS of PASTS_S) {
    if (await addPast(simulation, pastS)) return;
  }
}

/** Adds the events of the last so many seconds before a hello; false where they are too many. */
async function addPast(simulation: Simulation, pastS: number): Promise<boolean> {
  if (state.place.value.simulation !== simulation.id) return true;
  const from_tick = Math.max(Math.floor(simulation.tick - ticksPerS(simulation) * pastS), 0);
  const answer = await api.events(simulation.id, { from_tick, kind: PAST_KINDS, limit: MAX_PAST }).catch(() => null);
  if (answer === null || state.place.value.simulation !== simulation.id) return true;
  if (answer.next_cursor !== null) return false;
  state.eventLog.addPast(answer.items as FarmEvent[]);
  state.eventVersion.value += 1;
  return true;
}

/** Gets the class of every machine, for the stream does not tell it; null where there are too many to ask for. */
export async function loadClasses(): Promise<Uint8Array | null> {
  const open = state.simulation.value;
  const known = state.fleet.value;
  if (open === null || known === null) return null;
  if (state.scenarios.value.length === 0) state.scenarios.value = (await api.scenarios().catch(() => ({ items: [] }))).items;
  if (state.fleet.value !== known) return null;
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
