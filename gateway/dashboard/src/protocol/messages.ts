/**
 * Text messages of the stream. What is not known is passed over, as docs/stream.md asks, so that a newer server is
 * understood as far as this page goes.
 */

import type { components } from "../api/schema";

export type Simulation = components["schemas"]["Simulation"];
export type LogName = "sim" | "system";
/** Which events a stream tells: `lifecycle` those of that kind alone, `system` the log `system` whole, which is small whatever the farm's size. */
export type EventFilter = "none" | "lifecycle" | "system" | "all";

export interface EpochBegin {
  epoch: number;
  from_tick: number;
  from_event: number;
  from_system_event: number;
}

export interface Hello {
  type: "hello";
  simulation: Simulation;
  world: { bounds_m: [number, number, number, number]; sites: number; fields: number };
  epoch: number;
  epochs: EpochBegin[];
  next_event: number;
  next_system_event: number;
}

export interface FarmEvent {
  log: LogName;
  seq: number;
  tick: number;
  kind: string;
  site?: number | null;
  entities?: number[] | null;
  detail: Record<string, unknown>;
}

export interface EventsMissing {
  type: "events_missing";
  log: LogName;
  from_seq: number;
  to_seq: number;
}

export type TextMessage =
  | Hello
  | ({ type: "event" } & FarmEvent)
  | EventsMissing
  | { type: "lagged"; skipped: number }
  | { type: "view"; bounds_m: number[] | null; max_entities: number; rate_hz: number; events: string }
  | { type: "error"; code: string; detail: string }
  | { type: "pong" };

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isLog = (value: unknown): value is LogName => value === "sim" || value === "system";

/** Reads a text message; null where it is none that this page knows. */
export function readMessage(text: string): TextMessage | null {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(message)) return null;
  return isKnown(message) ? (message as unknown as TextMessage) : null;
}

function isKnown(message: Record<string, unknown>): boolean {
  switch (message["type"]) {
    case "hello":
      return (
        isRecord(message["simulation"]) &&
        isRecord(message["world"]) &&
        isNumber(message["epoch"]) &&
        Array.isArray(message["epochs"]) &&
        isNumber(message["next_event"]) &&
        isNumber(message["next_system_event"])
      );
    case "event":
      return isLog(message["log"]) && isNumber(message["seq"]) && isNumber(message["tick"]) && isRecord(message["detail"]);
    case "events_missing":
      return isLog(message["log"]) && isNumber(message["from_seq"]) && isNumber(message["to_seq"]);
    case "lagged":
      return isNumber(message["skipped"]);
    case "view":
      return isNumber(message["max_entities"]) && isNumber(message["rate_hz"]);
    case "error":
      return typeof message["code"] === "string" && typeof message["detail"] === "string";
    case "pong":
      return true;
    default:
      return false;
  }
}
