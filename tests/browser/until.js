/** Waiting for what will be so: bounded, and never longer than it takes. */

import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Longest that anything is waited for, ms: a machine under load is slow, and no test may fail of that. Who plants a fault and
 * knows what will be waited for in vain sets less.
 */
export const PATIENCE_MS = Number(process.env.BROWSER_PATIENCE_MS ?? 60_000);
const BETWEEN_MS = 50;

/**
 * What `ask` gives, once that is neither false, null nor undefined.
 *
 * @template T
 * @param {string} what is waited for, in words
 * @param {() => Promise<T> | T} ask
 * @param {number} [patienceMs]
 * @returns {Promise<Exclude<T, false | null | undefined>>}
 */
export async function until(what, ask, patienceMs = PATIENCE_MS) {
  const endsMs = performance.now() + patienceMs;
  for (;;) {
    const said = await ask();
    if (said !== false && said !== null && said !== undefined) return /** @type {any} */ (said);
    if (performance.now() > endsMs) throw new Error(`waited ${patienceMs / 1000} s in vain: ${what}`);
    await pause(BETWEEN_MS);
  }
}
