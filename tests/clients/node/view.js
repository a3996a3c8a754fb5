/** Views: how bounds snap to tiles, and which machines stand inside them. */

const MIN_TILE_M = 16;

/**
 * The bounds as the gateway snaps them: west, south, east, north, m.
 *
 * @param {number[]} bounds
 * @returns {number[]}
 */
export function snapped([west, south, east, north]) {
  const quarter = Math.max(east - west, north - south) / 4;
  let tile = MIN_TILE_M;
  while (tile < quarter) tile *= 2;
  return [
    Math.floor(west / tile) * tile,
    Math.floor(south / tile) * tile,
    Math.ceil(east / tile) * tile,
    Math.ceil(north / tile) * tile,
    // Zero has a sign in JavaScript, which is nothing here.
  ].map((edge) => edge + 0);
}

/**
 * Whether a machine is one of a view with these snapped bounds.
 *
 * @param {number[]} bounds
 * @param {{ x: number, y: number }} machine
 */
export function standsIn([west, south, east, north], { x, y }) {
  return west <= x && x < east && south <= y && y < north;
}

/**
 * Whether a block's box touches the bounds.
 *
 * @param {number[]} bounds
 * @param {number[]} box
 */
export function touches(bounds, box) {
  return box[0] <= bounds[2] && bounds[0] <= box[2] && box[1] <= bounds[3] && bounds[1] <= box[3];
}

/**
 * Whether bounds hold the whole world, and so are none.
 *
 * @param {number[]} bounds
 * @param {number[]} world
 */
export function holds(bounds, world) {
  return bounds[0] <= world[0] && bounds[1] <= world[1] && bounds[2] >= world[2] && bounds[3] >= world[3];
}
