/** What the page and its stream worker say to each other. */

import type { EventFilter, FarmEvent, Hello, LogName } from "../protocol/messages";
import type { Sums } from "../protocol/sums";
import type { Voided } from "./session";

/** What of a simulation is asked for. */
export interface View {
  boundsM: [number, number, number, number] | null;
  maxEntities: number;
  rateHz: number;
  events: EventFilter;
}

/** Bytes of a machine in a frame; see `MachineFrame`. */
export const STRIDE = 24;

/**
 * A tick's machines, ready for the graphics card. `buffer` holds `count` machines of `STRIDE` bytes, and behind them their
 * rows as `count` u32:
 *
 *     0  f32 x, y                east and north of `anchorM`, m
 *     8  f32 x, y                where it was in the frame shown before
 *    16  u8  heading, heading before, speed, charge      as in docs/stream.md
 *    20  u8  state, class, site modulo 256, 0
 */
export interface MachineFrame {
  tick: number;
  epoch: number;
  simTimeS: number;
  startedAtUs: number;
  /** Of the frame that the positions before are of; null where there is none to move on from. */
  beforeStartedAtUs: number | null;
  anchorM: [number, number];
  count: number;
  /** How far a machine goes at most between the two frames, m. */
  longestMoveM: number;
  machines: number;
  buffer: ArrayBuffer;
  sums: Sums;
}

/** Placement of a simulation's machines, as `ids` tells it, for the page. */
export interface Fleet {
  machines: number;
  sites: number;
  worldM: [number, number, number, number];
  /** Id of each row. */
  ids: Uint32Array;
  /** Site of each row. */
  siteOfRow: Uint32Array;
  /** East and north of each site's origin, m; NaN for a site without machines. */
  originsM: Float64Array;
}

export type ToWorker =
  | { type: "open"; simulation: string; token: string | null; view: View }
  | { type: "view"; view: View; anchorM: [number, number] }
  | { type: "classes"; classOfRow: Uint8Array }
  /** A buffer comes back; a frame is decoded into each once. */
  | { type: "recycle"; buffer: ArrayBuffer }
  | { type: "retry" }
  | { type: "close" };

export type Phase = "connecting" | "open" | "waiting" | "ended" | "token";

export interface Status {
  phase: Phase;
  /** Why it is not open, in a sentence. */
  why: string | null;
  /** When the next try is, UNIX ms. */
  retryAtMs: number | null;
}

export interface Traffic {
  bytes: number;
  messages: number;
  /** Ticks that came and were not decoded, for the page was still drawing. */
  undrawn: number;
  /** Ticks that the gateway skipped for this page read too slowly. */
  lagged: number;
  /** Messages that were not as the page of the stream says. */
  malformed: number;
}

export type FromWorker =
  | { type: "status"; simulation: string; status: Status }
  | { type: "hello"; simulation: string; hello: Hello; voided: Voided | null }
  | { type: "fleet"; simulation: string; fleet: Fleet }
  | { type: "frame"; simulation: string; frame: MachineFrame }
  | { type: "events"; simulation: string; events: FarmEvent[]; dropped: number }
  | { type: "missing"; simulation: string; log: LogName; fromSeq: number; toSeq: number }
  /** The most machines of the view that the server took; null where it refused one, and why. */
  | { type: "view"; simulation: string; maxEntities: number | null; detail: string }
  | { type: "fewer_events"; simulation: string }
  | { type: "traffic"; simulation: string; traffic: Traffic };
