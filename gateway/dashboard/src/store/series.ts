/** Columns over time for plots, bounded: the oldest rows go. Rows are in ascending order of tick. Pure. */

export class Series {
  readonly names: readonly string[];
  readonly #limit: number;
  #ticks: number[] = [];
  #columns: number[][];

  constructor(names: readonly string[], limit: number) {
    this.names = names;
    this.#limit = limit;
    this.#columns = names.map(() => []);
  }

  get length(): number {
    return this.#ticks.length;
  }

  get firstTick(): number | null {
    return this.#ticks[0] ?? null;
  }

  get lastTick(): number | null {
    return this.#ticks.at(-1) ?? null;
  }

  /** Adds a row; one that is not newer than the last is passed over. */
  push(tick: number, values: readonly number[]): void {
    if (values.length !== this.#columns.length) throw new Error(`${values.length} values for ${this.names.length} columns`);
    const last = this.lastTick;
    if (last !== null && tick <= last) return;
    this.#ticks.push(tick);
    this.#columns.forEach((column, n) => {
      column.push(values[n] as number);
    });
    // A few at a time, so that not every row moves all others.
    if (this.#ticks.length >= this.#limit + Math.ceil(this.#limit / 8)) this.#cut(this.#ticks.length - this.#limit);
  }

  #cut(oldest: number): void {
    this.#ticks.splice(0, oldest);
    for (const column of this.#columns) column.splice(0, oldest);
  }

  /** Takes out the oldest rows, up to the first whose value in a column is at least this. */
  dropBelow(name: string, least: number): void {
    const kept = this.column(name).findIndex((value) => value >= least);
    if (kept > 0) this.#cut(kept);
  }

  /** Takes out the ticks from this one on. */
  dropFrom(tick: number): void {
    let keep = this.#ticks.length;
    while (keep > 0 && (this.#ticks[keep - 1] as number) >= tick) keep -= 1;
    this.#ticks.length = keep;
    for (const column of this.#columns) column.length = keep;
  }

  column(name: string): readonly number[] {
    return this.#columns[this.names.indexOf(name)] ?? [];
  }

  clear(): void {
    this.dropFrom(0);
  }
}
