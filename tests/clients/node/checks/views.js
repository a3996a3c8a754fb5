/**
 * Views: how bounds snap, which machines come, and that both subprotocols agree on them.
 *
 * @import { Api } from "../rest.js"
 * @import { Stream } from "../stream.js"
 * @import { BinaryTick, Ids } from "../binary.js"
 */

import { same } from "./ticks.js";
import { Farm, isSame, need } from "../farm.js";
import { isTick } from "../machines.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL } from "../stream.js";
import { holds, snapped, standsIn, touches } from "../view.js";

const ENTITIES = 480;
const SAMPLE = 100;
/** Enough for machines to have left their homes. */
const RUN_TICKS = 600;
const DEFAULTS = { type: "view", bounds_m: null, max_entities: 2000, rate_hz: 10, events: "lifecycle" };

/**
 * Machines of a view are those inside the snapped bounds, in both subprotocols; a sample is the same in both.
 *
 * @param {Api} api
 */
export function agree(api) {
  return Farm.with(api, { entities: ENTITIES }, async (farm) => {
    const stands = await farm.runUntil(RUN_TICKS);
    const text = await farm.stream(JSON_PROTOCOL);
    const binary = await farm.stream(BINARY_PROTOCOL);
    await text.tick();
    const whole = /** @type {BinaryTick} */ (await binary.tick());
    need(whole.tick === stands && whole.machines.size === ENTITIES, `tick ${whole.tick}, ${whole.machines.size} machines`);
    for (const bounds of boxes(whole)) {
      const view = { bounds_m: bounds, max_entities: ENTITIES };
      const snaps = snapped(bounds);
      const world = /** @type {Ids} */ (binary.ids).worldM;
      const answered = { ...view, bounds_m: holds(snaps, world) ? null : snaps };
      const texts = await viewed(text, view, answered);
      const binaries = await viewed(binary, view, answered);
      same(texts, binaries);
      const wanted = [...whole.machines.values()].filter((machine) => standsIn(snaps, machine));
      const filtered = [...binaries.machines.values()].filter((machine) => standsIn(snaps, machine));
      need(isSame(ids(wanted), ids(texts.machines.values())), `${snaps}: the machines of the text`);
      need(isSame(ids(wanted), ids(filtered)), `${snaps}: the machines of the binary tick, filtered`);
      const blocks = whole.parts.filter((part) => touches(snaps, part.boxM));
      need(isSame(blocks, binaries.parts), `${snaps}: blocks`);
    }
    const sample = { max_entities: SAMPLE };
    const texts = await viewed(text, sample, sample);
    const binaries = await viewed(binary, sample, sample);
    const isSampled = texts.machines.size <= SAMPLE && texts.machines.size >= SAMPLE - whole.parts.length;
    need(isSampled, `${texts.machines.size} machines of ${SAMPLE}`);
    need(isSame(ids(texts.machines.values()), ids(binaries.machines.values())), "the samples differ");
    // What is left out of a view has its default again.
    need((await viewed(text, {}, {})).machines.size === ENTITIES, "not the default view");
  });
}

/**
 * Bounds of several sizes around machines, and some where none is.
 *
 * @param {BinaryTick} whole
 * @returns {number[][]}
 */
function boxes(whole) {
  const around = [1, ENTITIES / 2, ENTITIES].flatMap((id) => {
    const { x, y } = /** @type {{ x: number, y: number }} */ (whole.machines.get(id));
    return [5, 90, 700].map((side) => [x - side / 3, y - side / 5, x + side, y + side / 2]);
  });
  return [...around, [-9e6, -9e6, 9e6, 9e6], [1e6, 1e6, 1e6 + 10, 1e6 + 10]];
}

/**
 * @param {Iterable<{ id: number }>} machines
 * @returns {number[]}
 */
function ids(machines) {
  return [...machines].map(({ id }) => id).sort((one, other) => one - other);
}

/**
 * Sends a view, checks its answer, and gives the tick that follows.
 *
 * @param {Stream} stream
 * @param {object} view
 * @param {object} expected
 * @returns {Promise<BinaryTick>}
 */
async function viewed(stream, view, expected) {
  stream.send({ type: "view", ...view });
  const answer = await stream.message("view");
  need(isSame(answer, { ...DEFAULTS, ...expected }), `${JSON.stringify(view)} is answered by ${JSON.stringify(answer)}`);
  return stream.until(isTick);
}
