/** What the modules that change the page share: the API, the map that is shown, the place, and alerts. */

import { Api, type Simulation } from "../api/client";
import type { FarmMap } from "../map/farm_map";
import type { More, Severity } from "./alerts";
import type { Place } from "./location";
import * as state from "./state";

export const api = new Api();

/** The map, as long as one is drawn. */
export const shown: { map: FarmMap | null } = { map: null };

export function changePlace(change: Partial<Place>): void {
  state.place.value = { ...state.place.value, ...change };
}

/** Shows what the server says of a simulation, where it is the one that is open: an answer may come after another was opened. */
export function showSimulation(now: Simulation): void {
  if (now.id === state.place.value.simulation) state.simulation.value = now;
}

export function openList(): void {
  state.isListOpen.value = true;
}

export function closeList(): void {
  state.isListOpen.value = false;
}

/** The server wants a token, or another: nothing more is asked of it until there is one, and the visitor is asked for it once. */
export function needToken(): void {
  if (state.isTokenNeeded.value) return;
  state.isTokenNeeded.value = true;
  askToken();
}

export function askToken(): void {
  state.isTokenAsked.value = true;
}

/** The server takes the token that there is, or wants none. */
export function takeToken(): void {
  state.isTokenNeeded.value = false;
  state.isTokenAsked.value = false;
}

/** The visitor has no token at hand; the page says so until there is one. */
export function putOffToken(): void {
  state.isTokenAsked.value = false;
}

/** How long the page was hidden, ms, and since when it is. */
let hiddenMs = 0;
let hiddenSinceMs: number | null = null;

/** Time as alerts have it: it stands still while nobody sees the page. */
export function seenMs(): number {
  return (hiddenSinceMs ?? Date.now()) - hiddenMs;
}

export function handleSeen(isSeen: boolean): void {
  if (!isSeen) hiddenSinceMs ??= Date.now();
  else if (hiddenSinceMs !== null) {
    hiddenMs += Date.now() - hiddenSinceMs;
    hiddenSinceMs = null;
  }
}

export function alert(key: string, text: string, severity: Severity = "warning", more: More = {}): void {
  state.alertList.raise(key, severity, text, seenMs(), { happenedMs: Date.now(), ...more });
  state.alertVersion.value += 1;
}

export function settle(key: string): void {
  if (state.alertList.settle(key)) state.alertVersion.value += 1;
}

export function dismiss(key: string): void {
  state.alertList.dismiss(key, seenMs());
  state.alertVersion.value += 1;
}
