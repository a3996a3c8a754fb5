/** The event logs as a client keeps them: what was seen, what is void again, where to resume. */

/** An event that is not the next one of its log. */
export class OutOfOrder extends Error {}

/** Events of both logs by seq; each must follow the last one of its log without a gap. */
export class Logs {
  /** @type {Record<string, Map<number, any>>} */
  events = { sim: new Map(), system: new Map() };
  /** @type {Record<string, number>} */
  last = { sim: 0, system: 0 };
  /** Epoch of the newest hello; 0 before the first. */
  epoch = 0;

  /**
   * Takes back what a hello makes void, and only that.
   *
   * @param {any} message
   */
  hello({ epoch, epochs }) {
    /** @type {number[]} */
    const numbers = epochs.map((/** @type {any} */ begun) => begun.epoch);
    if (numbers.some((n, at) => n > epoch || (at > 0 && n <= numbers[at - 1]))) {
      throw new OutOfOrder(`epochs ${numbers} at epoch ${epoch}`);
    }
    const seen = this.epoch;
    this.epoch = Math.max(seen, epoch);
    const begun = epochs.find((/** @type {any} */ one) => one.epoch > seen);
    // Whoever has seen no hello has seen nothing that could be void.
    if (seen === 0 || begun === undefined) return;
    for (const [log, from] of [["sim", begun.from_event], ["system", begun.from_system_event]]) {
      for (const seq of this.events[log].keys()) {
        if (seq >= from) this.events[log].delete(seq);
      }
      this.last[log] = Math.min(this.last[log], from - 1);
    }
  }

  /**
   * Takes an event.
   *
   * @param {any} message
   */
  event(message) {
    const { log, seq } = message;
    if (seq !== this.last[log] + 1) throw new OutOfOrder(`${log}: event ${seq} after ${this.last[log]}`);
    this.events[log].set(seq, message);
    this.last[log] = seq;
  }

  /**
   * Passes over events that nobody has any more.
   *
   * @param {any} message
   */
  missing({ log, from_seq, to_seq }) {
    if (from_seq !== this.last[log] + 1 || to_seq < from_seq) {
      throw new OutOfOrder(`${log}: missing ${from_seq} to ${to_seq} after ${this.last[log]}`);
    }
    this.last[log] = to_seq;
  }

  /** The parameters that go on where this stopped. */
  resumeQuery() {
    return {
      events: "all",
      from_epoch: this.epoch,
      from_event: this.last.sim + 1,
      from_system_event: this.last.system + 1,
    };
  }
}
