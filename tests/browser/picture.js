/** What two pictures of the page differ in. */

import assert from "node:assert/strict";
import pngjs from "pngjs";

/** Two colours differ where one of their channels does by more than this, of 255. */
const TOLERANCE = 24;

/**
 * Pixels that differ between two pictures of the same size.
 *
 * @param {Buffer} one as PNG
 * @param {Buffer} other as PNG
 * @returns {number}
 */
export function differingPixels(one, other) {
  const [a, b] = [pngjs.PNG.sync.read(one), pngjs.PNG.sync.read(other)];
  assert.deepEqual([a.width, a.height], [b.width, b.height], "the pictures are of one size");
  let differing = 0;
  for (let at = 0; at < a.data.length; at += 4) {
    const isOther = [0, 1, 2].some((channel) => Math.abs(a.data[at + channel] - b.data[at + channel]) > TOLERANCE);
    if (isOther) differing += 1;
  }
  return differing;
}
