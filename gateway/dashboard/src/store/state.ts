/**
 * What the page shows, as signals. Changed by the modules beside it alone, but for what is drawn, which the map's `map_view.tsx`
 * tells; nothing here does I/O.
 */

import { computed, signal } from "@preact/signals";
import type { MachineAt, Scenario, Simulation, Worker } from "../api/client";
import type { Layout } from "../map/ground";
import { STATE_COLOURS, type Theme } from "../map/palette";
import type { Seen } from "../map/picking";
import type { Sums } from "../protocol/sums";
import type { Fleet, Status, Traffic } from "../stream/channel";
import { Alerts } from "./alerts";
import { EventLog } from "./event_log";
import { type Place, readPlace } from "./location";
import { Series } from "./series";

/** Where the page is: what its address says. */
export const place = signal<Place>(readPlace(location.hash));

/** All simulations, null until they are known; and why they are not. */
export const simulations = signal<Simulation[] | null>(null);
export const listTrouble = signal<string | null>(null);
/** Why the server does not say how the open simulation is, though its stream is open; null where it does. */
export const unanswered = signal<string | null>(null);
export const scenarios = signal<Scenario[]>([]);
export const workers = signal<Worker[]>([]);

/** Light or dark, as the visitor prefers it. */
const dark = matchMedia("(prefers-color-scheme: dark)");
export const theme = signal<Theme>(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => {
  theme.value = dark.matches ? "dark" : "light";
});
export const stateColours = computed(() => STATE_COLOURS[theme.value]);

/** The simulation that is open. */
export const simulation = signal<Simulation | null>(null);
export const status = signal<Status>({ phase: "ended", why: null, retryAtMs: null });
export const fleet = signal<Fleet | null>(null);
export const layout = signal<Layout | null>(null);
/** Names of its classes, and the class of each row where that is known. */
export const classNames = signal<readonly string[]>([]);
export const classOfRow = signal<Uint8Array | null>(null);

export interface TickNow {
  tick: number;
  simTimeS: number;
  /** Machines of the message, and of the simulation. */
  count: number;
  machines: number;
  sums: Sums;
  /** Whether machines that are in view may be missing in the message. */
  isSample: boolean;
}
export const tick = signal<TickNow | null>(null);

export interface Rates {
  bytesPerS: number;
  picturesPerS: number;
  /** Time that a picture takes to prepare, ms. */
  pictureMs: number;
}
export const NO_TRAFFIC: Traffic = { bytes: 0, messages: 0, undrawn: 0, lagged: 0, malformed: 0 };
export const traffic = signal<Traffic>(NO_TRAFFIC);
export const rates = signal<Rates>({ bytesPerS: 0, picturesPerS: 0, pictureMs: 0 });
/** Machines in the last picture. */
export const drawn = signal(0);

/** The machine that is looked at; `now` is from the stream where it is in a frame, else from the API. */
export interface Selected {
  id: number;
  row: number | null;
  info: MachineAt | null;
  now: (Pick<Seen, "xM" | "yM" | "headingTurns" | "speedMPerS" | "charge"> & { state: string }) | null;
  trouble: string | null;
}
export const selected = signal<Selected | null>(null);
/** Seconds of the page, charge in percent and speed in m/s of the machine that is looked at. */
export const MAX_MACHINE_SAMPLES = 240;
export const machineSeries = new Series(["at_s", "charge", "speed"], MAX_MACHINE_SAMPLES);
export const machineSamples = signal(0);

export const eventLog = new EventLog();
/** Grows with every change of the log. */
export const eventVersion = signal(0);
/** Whether every event is wanted, or only those of the run itself, of which all alerts are. */
export const wantsAllEvents = signal(true);
/** Whether there were too many, and all are asked for again after a while. */
export const isBurst = signal(false);

export const alertList = new Alerts();
export const alertVersion = signal(0);

/** Whether the server answers nothing until it gets a token, or another one; and whether the visitor is asked for it just now. */
export const isTokenNeeded = signal(false);
export const isTokenAsked = signal(false);
export const hasToken = signal(false);
/** Why machines cannot be drawn; null where they can. */
export const noGraphics = signal<string | null>(null);
export const isListOpen = signal(false);

/** Whether time goes on in the open simulation. */
export const isRunning = computed(() => simulation.value?.status === "running");
