/**
 * What outlives a connection: which events were seen, what a hello makes void, when to try again. Holds no socket and no
 * clock; chance is passed in.
 */

import type { EpochBegin, EventFilter, FarmEvent, Hello, LogName } from "../protocol/messages";

/** First wait before another try, ms; each that follows is twice as long. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/**
 * A connection that stood for so long after its hello, ms, was one that serves: the next failure is the first again. A hello
 * alone is no sign of it, for a server that cannot follow a simulation greets before it leaves.
 */
export const STEADY_MS = 10_000;
/** A gateway that leaves in order is left alone for up to this long, ms, so that not all its clients come back at once. */
const LEAVING_WAIT_MS = 3_000;

/** From where on what was seen before is void. */
export interface Voided {
  fromTick: number;
  fromEvent: number;
  fromSystemEvent: number;
}

/**
 * What becomes void of what a client saw up to a hello of epoch `seen`: everything from where the first orchestrator began
 * that took over since. Null where nothing does.
 */
export function voidedSince(seen: number | null, epochs: readonly EpochBegin[]): Voided | null {
  if (seen === null) return null;
  let begin: EpochBegin | null = null;
  for (const epoch of epochs) {
    if (epoch.epoch > seen && (begin === null || epoch.epoch < begin.epoch)) begin = epoch;
  }
  if (begin === null) return null;
  return { fromTick: begin.from_tick, fromEvent: begin.from_event, fromSystemEvent: begin.from_system_event };
}

/** What has to be done after a connection ended. */
export type Ending =
  | { next: "again"; waitMs: number; why: string }
  | { next: "again_with_fewer_events"; waitMs: number; why: string }
  | { next: "token"; why: string }
  | { next: "never"; why: string };

export class Session {
  #epoch: number | null = null;
  #seen: Record<LogName, number | null> = { sim: null, system: null };
  #failures = 0;

  /** Takes a hello of a stream that tells such events; gives what of the past it makes void. */
  handleHello(hello: Hello, events: EventFilter): Voided | null {
    const voided = voidedSince(this.#epoch, hello.epochs);
    this.#epoch = Math.max(this.#epoch ?? 0, hello.epoch);
    if (voided !== null) {
      this.#forget("sim", voided.fromEvent);
      this.#forget("system", voided.fromSystemEvent);
    }
    // Whoever has seen no event yet resumes at what the first hello says comes next; what is not told is not resumed.
    if (events !== "all") this.#seen.sim = null;
    else this.#seen.sim ??= hello.next_event - 1;
    this.#seen.system ??= hello.next_system_event - 1;
    return voided;
  }

  #forget(log: LogName, from: number): void {
    const seen = this.#seen[log];
    if (seen !== null) this.#seen[log] = Math.min(seen, from - 1);
  }

  /** Takes an event; false where it was seen before. */
  handleEvent(event: Pick<FarmEvent, "log" | "seq">): boolean {
    const seen = this.#seen[event.log];
    if (seen !== null && event.seq <= seen) return false;
    this.#seen[event.log] = event.seq;
    return true;
  }

  /** Takes word of events that can be had nowhere any more. */
  handleMissing(log: LogName, toSeq: number): void {
    this.#seen[log] = Math.max(this.#seen[log] ?? 0, toSeq);
  }

  /**
   * The part of the query that resumes a stream which tells such events; of the first connection none. Where it tells none of
   * the log `sim`, all that happened since would be read for nobody.
   */
  resume(events: EventFilter): Record<string, string> {
    if (this.#epoch === null) return {};
    if (events !== "all") this.#seen.sim = null;
    const resumed: Record<string, string> = { from_epoch: String(this.#epoch) };
    if (this.#seen.sim !== null) resumed["from_event"] = String(this.#seen.sim + 1);
    if (this.#seen.system !== null) resumed["from_system_event"] = String(this.#seen.system + 1);
    return resumed;
  }

  /** Gives up resuming: events begin with what happens next, for the past has become too much to catch up with. */
  skipPast(): void {
    this.#seen = { sim: null, system: null };
  }

  /** What to do after a close of a connection that stood for `stoodMs` since its hello, 0 without one; `chance` is from 0 to 1. */
  handleClose(code: number, reason: string, chance: number, stoodMs: number): Ending {
    if (stoodMs >= STEADY_MS) this.#failures = 0;
    if (reason === "deleted") return { next: "never", why: "The simulation was deleted." };
    if (reason === "token_revoked") return { next: "token", why: "The token was revoked." };
    if (reason === "events_behind") {
      const why = "More events happened than this page could take; it goes on with fewer.";
      return { next: "again_with_fewer_events", waitMs: this.#wait(chance), why };
    }
    if (code === 1001) return { next: "again", waitMs: LEAVING_WAIT_MS * chance, why: "The server is restarting." };
    if (code === 1011) return { next: "again", waitMs: this.#wait(chance), why: "The server cannot follow the simulation just now." };
    if (code === 1013) return { next: "again", waitMs: this.#wait(chance), why: "The server's database does not answer just now." };
    if (code === 1006 || code === 1005) return { next: "again", waitMs: this.#wait(chance), why: "The connection was lost." };
    return { next: "again", waitMs: this.#wait(chance), why: `The server closed the connection: ${code} ${reason}.` };
  }

  /** Twice as long after every failure since a connection stood, and drawn at random so that clients do not come all at once. */
  #wait(chance: number): number {
    const longest = Math.min(FIRST_WAIT_MS * 2 ** this.#failures, LONGEST_WAIT_MS);
    this.#failures += 1;
    return longest * (0.5 + chance / 2);
  }
}
