/** The newest events, bounded, in the order in which they came. What becomes void is taken out. Pure. */

import type { FarmEvent } from "../protocol/messages";
import type { Voided } from "../stream/session";

/** Events that are held; older ones can be had from the API. */
export const MAX_EVENTS = 600;

export class EventLog {
  #events: FarmEvent[] = [];
  /** Events that came and are not held. */
  passedOver = 0;

  get events(): readonly FarmEvent[] {
    return this.#events;
  }

  /**
   * Adds events; `dropped` came before them and were dropped on the way. Those that the past brought already, which was
   * asked for while they were on their way, are passed over.
   */
  add(events: readonly FarmEvent[], dropped = 0): void {
    this.passedOver += dropped;
    this.#events = [...this.#events, ...this.#notHeld(events)];
    const over = this.#events.length - MAX_EVENTS;
    if (over > 0) {
      this.#events = this.#events.slice(over);
      this.passedOver += over;
    }
  }

  /** Puts before the others what happened before the first of them; what is held already is passed over. */
  addPast(events: readonly FarmEvent[]): void {
    const room = MAX_EVENTS - this.#events.length;
    const past = this.#notHeld(events);
    const over = Math.max(past.length - room, 0);
    this.#events = [...past.slice(over), ...this.#events];
    this.passedOver += over;
  }

  #notHeld(events: readonly FarmEvent[]): readonly FarmEvent[] {
    const held = new Set(this.#events.map((event) => `${event.log}${event.seq}`));
    return events.filter((event) => !held.has(`${event.log}${event.seq}`));
  }

  /** Takes out what did not happen after all. */
  drop(voided: Voided): void {
    this.#events = this.#events.filter((event) => {
      return event.seq < (event.log === "sim" ? voided.fromEvent : voided.fromSystemEvent);
    });
  }

  clear(): void {
    this.#events = [];
    this.passedOver = 0;
  }
}
