/** Where the scales of plots begin and end, and the steps at which they are marked. Pure. */

/** Time is marked at whole seconds, for its labels tell no finer. */
export const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

const MOST_DECADES_OF_A_COUNT = 7;
/** There is no half of a machine. */
export const COUNT_STEPS = Array.from({ length: MOST_DECADES_OF_A_COUNT }, (_, decade) => [1, 2, 5].map((n) => n * 10 ** decade)).flat();

/** A scale of a few machines is not stretched over the whole plot. */
const LEAST_TOP_OF_A_COUNT = 4;

export function topOfCount(highest: number): number {
  return Math.max(highest * 1.1, LEAST_TOP_OF_A_COUNT);
}

/** The fewest decades that a logarithmic scale spans. */
const LEAST_DECADES = 2;
/** A logarithmic scale of nothing. */
const NO_DECADES: [number, number] = [0.1, 10];

/** A logarithmic scale from the power of ten below the lowest value to the one above the highest. */
export function decades(lowest: number | null, highest: number | null): [number, number] {
  if (lowest === null || highest === null || !(lowest > 0) || !(highest >= lowest)) return NO_DECADES;
  const from = Math.floor(Math.log10(lowest));
  const to = Math.max(Math.ceil(Math.log10(highest)), from + LEAST_DECADES);
  return [10 ** from, 10 ** to];
}

/** Powers of ten within bounds. */
export function powersOfTen(low: number, high: number): number[] {
  const [from, to] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  return Array.from({ length: Math.max(to - from + 1, 0) }, (_, n) => 10 ** (from + n));
}

/** Where nothing was told for longer than so, as pairs of indices: nobody knows what was between them. `x` ascends. */
export function gapsOf(x: ArrayLike<number>, from: number, to: number, longest: number): [before: number, after: number][] {
  const gaps: [number, number][] = [];
  for (let n = from + 1; n <= to; n += 1) {
    if ((x[n] as number) - (x[n - 1] as number) > longest) gaps.push([n - 1, n]);
  }
  return gaps;
}

/** The newest value of each line; of one that is filled down to the next, what lies between the two. */
export function newest(lines: readonly { values: readonly number[]; isFilled?: boolean }[]): number[] {
  const last = lines.map(({ values }) => values.at(-1) ?? Number.NaN);
  return last.map((value, n) => (lines[n]?.isFilled === true && lines[n + 1]?.isFilled === true ? value - (last[n + 1] as number) : value));
}
