/** The newest events of each group, bounded, in the order in which they came. What becomes void is taken out. Pure. */

import type { FarmEvent } from "../protocol/messages";
import type { Voided } from "../stream/session";

/** Events belong to groups of their own, so that many of one do not drive out the few of another. */
export const GROUPS = {
  faults: { label: "Faults", kinds: ["fault", "repaired"], held: 600 },
  // A command to a whole farm is told site by site.
  commands: { label: "Commands", kinds: ["command", "command_rejected"], held: 2_000 },
  traffic: { label: "Right of way", kinds: ["stand_off"], held: 200 },
  run: { label: "Run", kinds: ["lifecycle", "system"], held: 300 },
  transitions: { label: "State changes", kinds: ["transition"], held: 200 },
} as const;
export type Group = keyof typeof GROUPS;

/** Events that are held of kinds that are in no group, being of a later version. */
const HELD_OF_OTHERS = 200;

const GROUP_OF = new Map<string, Group>((Object.keys(GROUPS) as Group[]).flatMap((group) => GROUPS[group].kinds.map((kind) => [kind, group] as const)));

/** The group of a kind; null where it is in none. */
export function groupOf(kind: string): Group | null {
  return GROUP_OF.get(kind) ?? null;
}

/** Kind of what stands in the list where events were not asked for. */
export const GAP = "gap";

export class EventLog {
  #events: FarmEvent[] = [];
  /** Events that came and are not held; older ones can be had from the API. */
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
    this.#hold([...this.#events, ...this.#notHeld(events)]);
  }

  /** Marks that events of machines were not asked for between two ticks, of which the last is now. */
  addGap(fromTick: number, tick: number): void {
    // No event has such a number, so that it is in nobody's place.
    this.add([{ log: "sim", seq: -tick, tick, kind: GAP, detail: { from_tick: fromTick } }]);
  }

  /** The tick of the newest event of a machine; null where none is held. */
  get newestSimTick(): number | null {
    return this.#events.findLast((event) => event.log === "sim")?.tick ?? null;
  }

  /** Puts where they belong events of before, or of between, by their ticks; what is held already is passed over. */
  addPast(events: readonly FarmEvent[]): void {
    this.#hold([...this.#notHeld(events), ...this.#events].sort((a, b) => a.tick - b.tick));
  }

  /** Holds the newest of each group. */
  #hold(events: FarmEvent[]): void {
    const room = new Map<Group | null, number>();
    const held: FarmEvent[] = [];
    for (let n = events.length - 1; n >= 0; n -= 1) {
      const event = events[n] as FarmEvent;
      const group = groupOf(event.kind);
      const left = room.get(group) ?? (group === null ? HELD_OF_OTHERS : GROUPS[group].held);
      room.set(group, Math.max(left - 1, 0));
      if (left > 0) held.push(event);
    }
    this.passedOver += events.length - held.length;
    this.#events = held.reverse();
  }

  #notHeld(events: readonly FarmEvent[]): readonly FarmEvent[] {
    const held = new Set(this.#events.map((event) => `${event.log}${event.seq}`));
    return events.filter((event) => !held.has(`${event.log}${event.seq}`));
  }

  /** Takes out what did not happen after all. A gap, whose number is none of the log's, goes by its ticks: it ends where void begins. */
  drop(voided: Voided): void {
    const { fromTick } = voided;
    this.#events = this.#events.flatMap((event) => {
      if (event.kind !== GAP) return event.seq < (event.log === "sim" ? voided.fromEvent : voided.fromSystemEvent) ? event : [];
      if (event.tick <= fromTick) return event;
      return Number(event.detail["from_tick"]) < fromTick ? { ...event, seq: -fromTick, tick: fromTick } : [];
    });
  }

  clear(): void {
    this.#events = [];
    this.passedOver = 0;
  }
}
