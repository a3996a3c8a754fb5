/** Whether ticks met their deadlines, in words that never say all or none where it was not so. Pure. */

import { count, fixed } from "../parts/format";

/** More of the last minutes' ticks are late than somebody should be content with. */
const MOST_LATE_SHARE = 0.001;
/** Two digits after the point tell no less than that. */
const SMALLEST_SHARE = 0.0001;

export function share(of: number): string {
  if (of === 0 || of === 1) return `${of * 100} %`;
  if (of < SMALLEST_SHARE) return `< ${SMALLEST_SHARE * 100} %`;
  if (of > 1 - SMALLEST_SHARE) return `> ${100 - SMALLEST_SHARE * 100} %`;
  return `${fixed(of * 100, 2)} %`;
}

/** Each tick is judged by the deadline that it had itself, whatever the speed is now. */
export function verdict({ late, ticks, spanS }: { late: number; ticks: number; spanS: number }): { isMet: boolean; text: string } {
  const span = spanS < 120 ? `${fixed(spanS, 0)} s` : `${fixed(spanS / 60, 0)} min`;
  const of = `the ${count(ticks)} ticks of the last ${span}`;
  return {
    isMet: late <= ticks * MOST_LATE_SHARE,
    text: late === 0 ? `All of ${of} were complete within their deadline.` : `${count(late)} of ${of}, ${share(late / ticks)}, were late.`,
  };
}
