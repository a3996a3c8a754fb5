/** The event logs as a client keeps them: what was seen, what is void again, where to resume. */

/** An event that is not the next one of its log. */
export class OutOfOrder extends Error {}

/** Events of both logs by seq; each must follow the last one of its log without a gap. */
export class Logs {
  /** @type {Record<string, Map<number, any>>} */
  events = { sim: new Map(), system: new Map() };
  /** @type {Record<string, number>} */
  last = { sim: 0, system: 0 };

  /**
   * Takes back what a hello makes void.
   *
   * @param {any} message
   */
  hello(message) {
    for (const [log, next] of [["sim", message.next_event], ["system", message.next_system_event]]) {
      for (const seq of this.events[log].keys()) {
        if (seq >= next) this.events[log].delete(seq);
      }
      this.last[log] = Math.min(this.last[log], next - 1);
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
    return { events: "all", from_event: this.last.sim + 1, from_system_event: this.last.system + 1 };
  }
}
