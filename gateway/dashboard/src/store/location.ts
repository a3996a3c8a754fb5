/** The view as the page's address holds it, after `#`, so that it can be sent to somebody. Pure. */

import type { Simulation } from "../api/client";
import { type Camera, clampedZoom } from "../map/camera";
import { COLOUR_BY, type ColourBy } from "../map/palette";
import { STATES } from "../protocol/states";

export const TABS = ["farm", "machines", "events", "time"] as const;
export type Tab = (typeof TABS)[number];

/** Most machines that a view may ask for, by choice. */
export const MACHINE_LIMITS = [2_000, 10_000, 20_000, 100_000] as const;
export const DEFAULT_MACHINE_LIMIT = 20_000;

export interface Place {
  simulation: string | null;
  /** Null for the whole world. */
  camera: Camera | null;
  colourBy: ColourBy;
  /** Codes of the states that are hidden, as bits. */
  hiddenStates: number;
  hiddenClasses: number;
  machine: number | null;
  isFollowed: boolean;
  tab: Tab;
  machineLimit: number;
}

export const HOME: Place = {
  simulation: null,
  camera: null,
  colourBy: "state",
  hiddenStates: 0,
  hiddenClasses: 0,
  machine: null,
  isFollowed: false,
  tab: "farm",
  machineLimit: DEFAULT_MACHINE_LIMIT,
};

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ALL_STATES = 2 ** STATES.length - 1;
const ALL_CLASSES = 2 ** 16 - 1;

/** Reads an address; what is not understood is as on the first visit. */
export function readPlace(hash: string): Place {
  const read = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name: string) => {
    const text = read.get(name);
    const value = text === null || text === "" ? Number.NaN : Number(text);
    return Number.isFinite(value) ? value : null;
  };
  const bits = (name: string, all: number) => Math.max(Math.trunc(number(name) ?? 0), 0) & all;
  const simulation = read.get("sim");
  const [x, y, zoom] = [number("x"), number("y"), number("z")];
  const machine = number("machine");
  const limit = number("max");
  return {
    simulation: simulation !== null && ID.test(simulation) ? simulation : null,
    camera: x !== null && y !== null && zoom !== null && zoom > 0 ? { x, y, pxPerM: clampedZoom(zoom) } : null,
    colourBy: COLOUR_BY.find((by) => by === read.get("by")) ?? HOME.colourBy,
    hiddenStates: bits("hide", ALL_STATES),
    hiddenClasses: bits("hide_class", ALL_CLASSES),
    machine: machine !== null && Number.isInteger(machine) && machine >= 1 ? machine : null,
    isFollowed: read.get("follow") === "1",
    tab: TABS.find((tab) => tab === read.get("tab")) ?? HOME.tab,
    machineLimit: MACHINE_LIMITS.find((known) => known === limit) ?? HOME.machineLimit,
  };
}

/** Writes an address; what is as on the first visit is left out. */
export function writePlace(place: Place): string {
  const written = new URLSearchParams();
  if (place.simulation !== null) written.set("sim", place.simulation);
  if (place.camera !== null) {
    written.set("x", place.camera.x.toFixed(1));
    written.set("y", place.camera.y.toFixed(1));
    written.set("z", String(Number(place.camera.pxPerM.toPrecision(4))));
  }
  if (place.colourBy !== HOME.colourBy) written.set("by", place.colourBy);
  if (place.hiddenStates !== 0) written.set("hide", String(place.hiddenStates));
  if (place.hiddenClasses !== 0) written.set("hide_class", String(place.hiddenClasses));
  if (place.machine !== null) written.set("machine", String(place.machine));
  if (place.isFollowed) written.set("follow", "1");
  if (place.tab !== HOME.tab) written.set("tab", place.tab);
  if (place.machineLimit !== HOME.machineLimit) written.set("max", String(place.machineLimit));
  const text = written.toString();
  return text === "" ? "" : `#${text}`;
}

/** What a page without an address opens: the only simulation there is, or the demo. */
export function openedAtOnce(simulations: readonly Simulation[]): Simulation | null {
  if (simulations.length === 1) return simulations[0] ?? null;
  return simulations.find((one) => one.name === "demo") ?? null;
}
