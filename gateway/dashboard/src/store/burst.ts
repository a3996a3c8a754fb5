/** When all events are asked for again after there were too many of them at once. Pure; time is passed in. */

/** Nobody can tell how many there would be without asking for them: first after so long, ms, and each time that was too soon after twice as long. */
const FIRST_WAIT_MS = 15_000;
const LONGEST_WAIT_MS = 600_000;
/** All events that were taken for so long, ms, were not asked for too soon. */
const CALM_MS = 120_000;

export class Burst {
  #waitMs = 0;
  #againAtMs = 0;

  /** Takes that there were too many; gives how long fewer are asked for, ms. */
  handle(nowMs: number): number {
    const isCalm = this.#waitMs === 0 || nowMs - this.#againAtMs > CALM_MS;
    this.#waitMs = isCalm ? FIRST_WAIT_MS : Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
    this.#againAtMs = nowMs + this.#waitMs;
    return this.#waitMs;
  }
}
