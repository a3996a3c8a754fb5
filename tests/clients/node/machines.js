/**
 * What a tick says, whichever of the two subprotocols it came by.
 *
 * @typedef {object} Machine
 * @property {number} id
 * @property {number} x m east in the world
 * @property {number} y m north in the world
 * @property {number} heading radians from east, counter-clockwise
 * @property {number} speed m/s
 * @property {number} battery percent
 * @property {string} state
 *
 * @typedef {object} Sums
 * @property {number} machines
 * @property {bigint} charge_sum 2^-30 of full
 * @property {bigint} speed_sum_mm_per_s
 * @property {Record<string, number>} by_state
 * @property {number[]} by_charge
 * @property {Record<string, number>} counters
 *
 * @typedef {object} Tick
 * @property {number} tick
 * @property {number} epoch
 * @property {number} sim_time_s
 * @property {number} sent_at_us
 * @property {number} started_at_us
 * @property {number} entities_total
 * @property {Sums} sums
 * @property {Map<number, Machine>} machines
 */

export const STATES = [
  "idle",
  "travelling",
  "working",
  "turning",
  "returning",
  "refilling",
  "queueing",
  "charging",
  "faulted",
  "holding",
];

/** The counters of the sums, in their order on the wire. */
export const COUNTERS = [
  "turns",
  "swaths",
  "charger_waits",
  "charges",
  "denied_grants",
  "faults",
  "repairs",
  "commands",
  "rejected_commands",
  "stand_offs",
  "separation_violations",
  "ghosts",
  "ghost_bytes",
];

export const STEPS_OF_A_TURN = 256;
export const FULL_CHARGE = 255;

/**
 * The tick of a JSON message.
 *
 * @param {any} message
 * @returns {Tick}
 */
export function tickOfJson(message) {
  const machines = new Map();
  for (const machine of message.entities) {
    if (machines.has(machine.id)) throw new Error(`machine ${machine.id} stands in tick ${message.tick} twice`);
    if (!STATES.includes(machine.state)) throw new Error(`${machine.state} is no state`);
    machines.set(machine.id, machine);
  }
  const said = message.aggregates;
  return {
    tick: message.tick,
    epoch: message.epoch,
    sim_time_s: message.sim_time_s,
    sent_at_us: message.sent_at_us,
    started_at_us: message.started_at_us,
    entities_total: message.entities_total,
    sums: {
      machines: said.machines,
      charge_sum: BigInt(said.charge_sum),
      speed_sum_mm_per_s: BigInt(said.speed_sum_mm_per_s),
      by_state: Object.fromEntries(STATES.map((state) => [state, said.by_state[state]])),
      by_charge: said.by_charge,
      counters: Object.fromEntries(COUNTERS.map((name) => [name, said.counters[name]])),
    },
    machines,
  };
}

/**
 * Whether a message is a tick.
 *
 * @param {any} message
 * @returns {message is Tick}
 */
export function isTick(message) {
  return message.machines instanceof Map;
}
