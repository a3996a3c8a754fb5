/**
 * Ticks: their order, their counts, and that both subprotocols say the same of the same tick.
 *
 * @import { Api } from "../rest.js"
 * @import { Stream } from "../stream.js"
 * @import { Machine, Tick } from "../machines.js"
 */

import { Farm, isSame, need } from "../farm.js";
import { FULL_CHARGE, STATES, STEPS_OF_A_TURN, isTick } from "../machines.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL } from "../stream.js";

const RATE_HZ = 20;
/** How long the farm runs while it is watched: enough for machines to have left their homes. */
const RUN_TICKS = 1_500;
const TURN = 2 * Math.PI;
/** What the page promises of numbers in JSON, with half of the last digit that is written. */
const POSITION_M = 0.1 + 0.005;
const HEADING = TURN / STEPS_OF_A_TURN / 2 + 0.0005;
const SPEED_M_PER_S = 0.05 + 1e-9;
const BATTERY_PERCENT = 100 / FULL_CHARGE / 2 + 0.05;
/** Clocks of the gateway and of this program may differ, and both be slow. */
const CLOCK_US = 120_000_000;

/**
 * Both subprotocols watch the same run, from its first tick to the last, which always comes.
 *
 * @param {Api} api
 */
export function run(api) {
  return Farm.with(api, { max_ticks: RUN_TICKS }, async (farm) => {
    const begun = Date.now();
    const text = await farm.stream(JSON_PROTOCOL, { rate_hz: RATE_HZ });
    const binary = await farm.stream(BINARY_PROTOCOL, { rate_hz: RATE_HZ });
    await farm.act("start");
    const [texts, binaries] = await Promise.all([read(farm, text), read(farm, binary)]);
    const most = ((Date.now() - begun) / 1_000) * RATE_HZ + 2;
    for (const ticks of [texts, binaries]) {
      need(ticks.size >= 3 && ticks.size <= most, `${ticks.size} ticks at ${RATE_HZ} Hz where ${most} may come`);
    }
    for (const [tick, of] of texts) {
      const other = binaries.get(tick);
      if (other !== undefined) same(of, other);
    }
  });
}

/**
 * All ticks until the last one, each checked by itself.
 *
 * @param {Farm} farm
 * @param {Stream} stream
 * @returns {Promise<Map<number, Tick>>}
 */
async function read(farm, stream) {
  /** @type {Map<number, Tick>} */
  const ticks = new Map();
  for (let newest = -1; newest !== RUN_TICKS; ) {
    const tick = await stream.tick();
    need(tick.tick > newest, `tick ${tick.tick} after ${newest}`);
    newest = tick.tick;
    addsUp(farm, tick);
    ticks.set(newest, tick);
  }
  return ticks;
}

/**
 * Checks a tick that has every machine against its own sums.
 *
 * @param {Farm} farm
 * @param {Tick} tick
 */
function addsUp(farm, tick) {
  const machines = [...tick.machines.values()];
  const { sums } = tick;
  const count = farm.entities;
  need(tick.entities_total === count && sums.machines === count && machines.length === count, `tick ${tick.tick}: counts`);
  for (let id = 1; id <= count; id += 1) need(tick.machines.has(id), `tick ${tick.tick} lacks machine ${id}`);
  need(Math.abs(tick.sim_time_s - (tick.tick * farm.tickMs) / 1_000) < 1e-6, `tick ${tick.tick}: ${tick.sim_time_s} s`);
  need(Math.abs(tick.sent_at_us - Date.now() * 1_000) < CLOCK_US, `sent at ${tick.sent_at_us}`);
  need(Math.abs(tick.started_at_us - tick.sent_at_us) < CLOCK_US, `started at ${tick.started_at_us}`);
  for (const state of STATES) {
    const counted = machines.filter((machine) => machine.state === state).length;
    need(counted === sums.by_state[state], `tick ${tick.tick}: ${counted} ${state}, and ${sums.by_state[state]}`);
  }
  need(sums.by_charge.length === 10 && total(sums.by_charge) === count, `tick ${tick.tick}: ${sums.by_charge}`);
  const charge = total(machines.map((machine) => machine.battery)) / 100;
  need(Math.abs(charge - Number(sums.charge_sum) / 2 ** 30) <= count / FULL_CHARGE, `tick ${tick.tick}: charge ${charge}`);
  const speed = total(machines.map((machine) => machine.speed));
  need(Math.abs(speed - Number(sums.speed_sum_mm_per_s) / 1_000) <= count * 0.1, `tick ${tick.tick}: speed ${speed}`);
}

/** @param {number[]} numbers */
function total(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/**
 * Compares a tick of both subprotocols: the machines of the text must be in the binary one.
 *
 * @param {Tick} text
 * @param {Tick} binary
 */
export function same(text, binary) {
  for (const key of /** @type {const} */ (["tick", "epoch", "sim_time_s", "started_at_us", "entities_total"])) {
    need(text[key] === binary[key], `tick ${text.tick}: ${key} ${text[key]} and ${binary[key]}`);
  }
  need(isSame(text.sums, binary.sums), `tick ${text.tick}: sums`);
  for (const [id, machine] of text.machines) {
    const other = binary.machines.get(id);
    need(other !== undefined && agree(machine, other), `${JSON.stringify(machine)} and ${JSON.stringify(other)}`);
  }
}

/**
 * Whether two descriptions are of the same machine, within what the page promises.
 *
 * @param {Machine} one
 * @param {Machine} other
 */
function agree(one, other) {
  const turned = Math.abs(one.heading - other.heading);
  return (
    Math.abs(one.x - other.x) <= POSITION_M &&
    Math.abs(one.y - other.y) <= POSITION_M &&
    Math.min(turned, TURN - turned) <= HEADING &&
    Math.abs(one.speed - other.speed) <= SPEED_M_PER_S &&
    Math.abs(one.battery - other.battery) <= BATTERY_PERCENT &&
    one.state === other.state
  );
}

const ENTITIES = 2_400;
/** Simulated while the client reads nothing: more than the buffers of a connection hold. */
const TICKS_BEHIND = 4_000;

/**
 * A client that reads too slowly is told how many ticks it missed, and gets the newest.
 *
 * @param {Api} api
 */
export async function lagged(api) {
  for (const protocol of [JSON_PROTOCOL, BINARY_PROTOCOL]) {
    await Farm.with(api, { entities: ENTITIES }, async (farm) => {
      const slow = await farm.stream(protocol, { rate_hz: 60, max_entities: ENTITIES });
      let last = -1;
      slow.hold();
      const newest = await farm.runUntil(TICKS_BEHIND);
      slow.release();
      let skipped = 0;
      while (last < newest) {
        let message = await slow.next();
        if (message.type === "lagged") {
          need(message.skipped >= 1, JSON.stringify(message));
          skipped += message.skipped;
          message = await slow.next();
          need(isTick(message), `${message.type} follows lagged`);
        }
        if (!isTick(message)) continue;
        need(message.tick > last, `tick ${message.tick} after ${last}`);
        last = message.tick;
      }
      need(skipped >= 1, "nothing was skipped, or nobody was told");
    });
  }
}
