/** The machine that is looked at: chosen, kept up to date from the stream's frames or the API, and shown on the map. */

import { asProblem } from "../api/problem";
import { stateName } from "../protocol/states";
import { api, changePlace, shown } from "./page";
import * as state from "./state";

/** Zoom at which a machine is a shape. */
const NEAR_PX_PER_M = 9;
/** Its values change this often, ms. */
const SHOWN_EVERY_MS = 250;

export function select(id: number | null, isFollowed = false): void {
  state.machineSeries.clear();
  if (id === null) {
    state.selected.value = null;
    changePlace({ machine: null, isFollowed: false });
    return;
  }
  state.selected.value = { id, row: rowOf(id), info: null, now: null, trouble: null };
  changePlace({ machine: id, isFollowed });
  void refreshSelected();
}

function rowOf(id: number): number | null {
  const row = state.fleet.value?.ids.indexOf(id) ?? -1;
  return row < 0 ? null : row;
}

let shownAt = 0;

/** Shows the selected machine as it is in the frame, between the times at which the API is asked. */
export function showSelected(): void {
  const selected = state.selected.value;
  const at = performance.now();
  if (selected === null || selected.row === null || at - shownAt < SHOWN_EVERY_MS) return;
  const seen = shown.map?.machine(selected.row) ?? null;
  if (seen === null) return;
  shownAt = at;
  state.selected.value = { ...selected, now: { ...seen, state: stateName(seen.state) } };
}

/** Brings what is known of the selected machine up to the present: from the frame, else from the API; where it is followed, the map too. */
export async function refreshSelected(): Promise<void> {
  const before = state.selected.value;
  const open = state.simulation.value;
  if (before === null || open === null) return;
  const row = before.row ?? rowOf(before.id);
  const seen = row === null ? null : (shown.map?.machine(row) ?? null);
  let { info, trouble } = before;
  if (info === null || seen === null) {
    try {
      info = await api.machine(open.id, before.id);
      trouble = null;
    } catch (error) {
      trouble = asProblem(error).sentence;
    }
  }
  if (state.selected.value?.id !== before.id || state.place.value.simulation !== open.id) return;
  const now = seen === null ? nowOf(info) : { ...seen, state: stateName(seen.state) };
  state.selected.value = { id: before.id, row, info, now, trouble };
  if (seen === null && now !== null && state.place.value.isFollowed) comeTo(now.xM, now.yM);
  if (now !== null && state.tick.value !== null) {
    state.machineSeries.push(state.tick.value.tick, [state.tick.value.simTimeS, now.charge * 100, now.speedMPerS]);
    state.machineSamples.value += 1;
  }
}

/**
 * Brings the map to a machine that it follows and does not have: the stream tells only of what is around the camera, so that a
 * machine that left unseen, behind a tab in the background, an outage or an old address, would never come back into it.
 */
function comeTo(x: number, y: number): void {
  const { map } = shown;
  if (map === null || Math.hypot(x - map.camera.x, y - map.camera.y) * map.camera.pxPerM < 1) return;
  map.flyTo({ ...map.camera, x, y });
}

function nowOf(info: state.Selected["info"]): state.Selected["now"] {
  const now = info?.now ?? null;
  if (now === null) return null;
  return {
    xM: now.x,
    yM: now.y,
    headingTurns: now.heading / (2 * Math.PI),
    speedMPerS: now.speed,
    charge: now.battery / 100,
    state: now.state,
  };
}

/** Shows a machine on the map, near enough to see its shape, and looks at it. */
export function goTo(id: number): Promise<void> {
  select(id);
  return comeNear(id);
}

async function comeNear(id: number): Promise<void> {
  await refreshSelected();
  const now = state.selected.value?.id === id ? state.selected.value.now : null;
  if (now === null || shown.map === null) return;
  shown.map.flyTo({ x: now.xM, y: now.yM, pxPerM: Math.max(shown.map.camera.pxPerM, NEAR_PX_PER_M) });
}

/** Follows the machine that is looked at, from near enough that it is seen to move; or no longer. */
export function toggleFollow(): void {
  const id = state.selected.value?.id;
  if (id === undefined) return;
  const isFollowed = !state.place.value.isFollowed;
  changePlace({ isFollowed });
  if (isFollowed) void comeNear(id);
}

/** Goes to a machine that does something, looks at it and follows it. */
export function visit(): void {
  const known = state.fleet.value;
  const seen = shown.map?.busy() ?? null;
  const id = seen === null ? undefined : known?.ids[seen.row];
  if (seen === null || id === undefined || shown.map === null) return;
  select(id, true);
  shown.map.flyTo({ x: seen.xM, y: seen.yM, pxPerM: Math.max(shown.map.camera.pxPerM, NEAR_PX_PER_M) });
}

/** Shows a site whole. */
export function goToSite(site: number): void {
  const known = state.fleet.value;
  const bounds = state.layout.value?.bounds_m;
  if (known === null || bounds === undefined || shown.map === null) return;
  const [x, y] = [known.originsM[site * 2], known.originsM[site * 2 + 1]];
  if (x === undefined || y === undefined || Number.isNaN(x)) return;
  shown.map.show([bounds[0]! + x, bounds[1]! + y, bounds[2]! + x, bounds[3]! + y]);
}
