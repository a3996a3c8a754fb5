/** The machines that the table has loaded: one request after the other, and what is loaded is brought up to date whole. Pure. */

import type { Machine } from "../api/client";

/** Machines that are loaded at once, at first and with each page more. */
export const PAGE = 200;
/** Most that the server gives at once. */
const LARGEST_PAGE = 1_000;
/** Machines that the table holds at most; filters narrow it down further. */
export const MAX_HELD = 5_000;

export interface Answer {
  items: Machine[];
  next_cursor: string | null;
  tick: number | null;
}
export type Ask = (cursor: string | null, limit: number) => Promise<Answer>;

/** What is loaded, as of which tick; null where nothing goes on. */
export interface Loaded {
  machines: readonly Machine[];
  tick: number | null;
  hasMore: boolean;
}

export class MachinePages {
  readonly #ask: Ask;
  #machines: readonly Machine[] = [];
  #cursor: string | null = null;
  #tick: number | null = null;
  /** Requests stand in line, so that no answer takes away what another brought. */
  #last: Promise<unknown> = Promise.resolve();
  #isMoreDue = false;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  get loaded(): Loaded {
    return { machines: this.#machines, tick: this.#tick, hasMore: this.#cursor !== null && this.#machines.length < MAX_HELD };
  }

  /** Requests that bring up to date what is loaded. */
  get requests(): number {
    return Math.max(Math.ceil(this.#machines.length / LARGEST_PAGE), 1);
  }

  /** Loads anew as many as there are, from the first one on, in as few requests as that takes. Throws a `Problem`. */
  refresh(): Promise<void> {
    return this.#inLine(async () => {
      const wanted = Math.max(this.#machines.length, PAGE);
      const machines: Machine[] = [];
      let cursor: string | null = null;
      let tick: number | null = null;
      do {
        const page: Answer = await this.#ask(cursor, Math.min(wanted - machines.length, LARGEST_PAGE));
        machines.push(...page.items);
        cursor = page.next_cursor;
        // What is shown is as old as the first of it.
        tick ??= page.tick;
      } while (cursor !== null && machines.length < wanted);
      [this.#machines, this.#cursor, this.#tick] = [machines, cursor, tick];
    });
  }

  /** Loads the next page, once, however often it is asked for meanwhile. Throws a `Problem`. */
  async more(): Promise<void> {
    if (this.#isMoreDue) return;
    this.#isMoreDue = true;
    await this.#inLine(async () => {
      try {
        if (!this.loaded.hasMore) return;
        const page = await this.#ask(this.#cursor, Math.min(PAGE, MAX_HELD - this.#machines.length));
        this.#machines = [...this.#machines, ...page.items];
        this.#cursor = page.next_cursor;
      } finally {
        this.#isMoreDue = false;
      }
    });
  }

  #inLine(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
