/** How far its history is behind a run, as far as that can be told from outside. Pure; time is passed in. */

/** A run that stands has nothing more to write: only of one that went on for as many ticks as it does in so long, s, is it judged. */
const WENT_ON_S = 5;

export class HistoryLag {
  /** The tick that history has to reach next, and when the run was there. */
  #due: { tick: number; atMs: number } | null = null;

  /** Takes where a run with so many ticks a second is, and up to which tick its history is written; gives by how much that is behind at least, ms. */
  handle(tick: number, written: number | null, ticksPerS: number, nowMs: number): number {
    const due = this.#due;
    if (due === null || (written ?? -1) >= due.tick) {
      this.#due = { tick, atMs: nowMs };
      return 0;
    }
    return tick - due.tick < ticksPerS * WENT_ON_S ? 0 : nowMs - due.atMs;
  }
}
