/**
 * The binary messages of `autofarm.v1.bin`. A message that is not as docs/stream.md says is refused whole: every
 * number is checked against the length of the message and against `ids` before it is used.
 *
 * @import { Machine, Sums, Tick } from "./machines.js"
 *
 * @typedef {object} Block machines of a site that are sent together
 * @property {number} site
 * @property {number} machines
 * @property {number} first index of its first id
 * @property {number} eastM
 * @property {number} northM
 *
 * @typedef {object} Ids whose the records of all later ticks are
 * @property {string} simulation
 * @property {number} sites
 * @property {number[]} worldM
 * @property {Block[]} blocks
 * @property {number[]} ids
 *
 * @typedef {object} Part what a tick brings of a block
 * @property {number} block
 * @property {number} records
 * @property {number[]} boxM in the world
 *
 * @typedef {Tick & { parts: Part[] }} BinaryTick
 */

import { COUNTERS, FULL_CHARGE, STATES, STEPS_OF_A_TURN } from "./machines.js";

export const IDS = 1;
export const TICK = 2;
const VERSION = 1;

// What version 1 puts before the blocks. There may be more one day, so that blocks are looked for where the
// message says.
const IDS_HEADER = 64;
const TICK_HEADER = 344;
const IDS_BLOCK = 32;
const TICK_BLOCK = 24;
const RECORD = 8;
const ID = 4;
const SUMS = 36;
const SUMS_FROM = 56;
/** Boxes are in 2^-16 m. */
const PER_M = 65_536;
/** Greatest of a record's coordinates, which is the box's other edge. */
const EDGE = 65_535;

/** A message that is not as the page says. */
export class Malformed extends Error {}

/**
 * Refuses the message unless it holds.
 *
 * @param {boolean} holds
 * @param {string} what
 */
function need(holds, what) {
  if (!holds) throw new Malformed(what);
}

/**
 * The message, and where its blocks begin and end.
 *
 * @param {Buffer} message
 * @param {{ name: string, kind: number, header: number, block: number }} shape
 */
function opened(message, { name, kind, header, block }) {
  need(message.length >= header, `${name}: shorter than its header`);
  need(message[0] === kind && message[1] === VERSION, `${name}: kind ${message[0]}, version ${message[1]}`);
  const from = message.readUInt16LE(2);
  const blocks = message.readUInt32LE(4);
  need(from >= header && from % 8 === 0, `${name}: blocks from ${from} on`);
  return { from, blocks, behind: from + blocks * block };
}

/**
 * Decodes `ids`.
 *
 * @param {Buffer} message
 * @returns {Ids}
 */
export function decodeIds(message) {
  const { from, blocks, behind } = opened(message, { name: "ids", kind: IDS, header: IDS_HEADER, block: IDS_BLOCK });
  const machines = message.readUInt32LE(24);
  const sites = message.readUInt32LE(28);
  need(message.length === behind + machines * ID, `ids: ${message.length} bytes`);
  /** @type {Block[]} */
  const found = [];
  let expected = 0;
  for (let at = from; at < behind; at += IDS_BLOCK) {
    const block = {
      site: message.readUInt32LE(at),
      machines: message.readUInt32LE(at + 4),
      first: message.readUInt32LE(at + 8),
      eastM: message.readDoubleLE(at + 16),
      northM: message.readDoubleLE(at + 24),
    };
    need(block.site < sites, `ids: site ${block.site} of ${sites}`);
    need(block.first === expected && message.readUInt32LE(at + 12) === 0, `ids: a block begins with ${block.first}`);
    expected += block.machines;
    found.push(block);
  }
  need(expected === machines, `ids: ${expected} machines in blocks, ${machines} ids`);
  const ids = Array.from({ length: machines }, (_, n) => message.readUInt32LE(behind + n * ID));
  need(new Set(ids).size === machines, "ids: a machine stands there twice");
  return {
    simulation: uuid(message.subarray(8, 24)),
    sites,
    worldM: [32, 40, 48, 56].map((at) => message.readDoubleLE(at)),
    blocks: found,
    ids,
  };
}

/**
 * @param {Buffer} bytes 16 of them
 * @returns {string}
 */
function uuid(bytes) {
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * Decodes a tick of the simulation that `ids` is of.
 *
 * @param {Buffer} message
 * @param {Ids} ids
 * @returns {BinaryTick}
 */
export function decodeTick(message, ids) {
  const { from, behind } = opened(message, { name: "tick", kind: TICK, header: TICK_HEADER, block: TICK_BLOCK });
  const records = message.readUInt32LE(48);
  const total = message.readUInt32LE(44);
  need(message.readUInt32LE(52) === SUMS, `tick: ${message.readUInt32LE(52)} sums`);
  need(message.length === behind + records * RECORD, `tick: ${message.length} bytes`);
  need(total === ids.ids.length, `tick: of ${total} machines, ${ids.ids.length} ids`);

  /** @type {Part[]} */
  const parts = [];
  /** @type {Map<number, Machine>} */
  const machines = new Map();
  const seen = new Set();
  let record = behind;
  for (let at = from; at < behind; at += TICK_BLOCK) {
    const number = message.readUInt32LE(at);
    const count = message.readUInt32LE(at + 4);
    need(number < ids.blocks.length && !seen.has(number), `tick: block ${number}`);
    seen.add(number);
    const block = ids.blocks[number];
    need(count <= block.machines, `tick: ${count} of ${block.machines} machines of block ${number}`);
    need(record + count * RECORD <= message.length, "tick: fewer records than the blocks say");
    const [x0, y0, x1, y1] = [8, 12, 16, 20].map((edge) => message.readInt32LE(at + edge));
    need(x0 <= x1 && y0 <= y1, `tick: box of block ${number}`);
    for (let k = 0; k < count; k += 1, record += RECORD) {
      const state = message[record + 7];
      need(state < STATES.length, `tick: state ${state}`);
      const id = ids.ids[block.first + k];
      machines.set(id, {
        id,
        x: block.eastM + (x0 + (message.readUInt16LE(record) / EDGE) * (x1 - x0)) / PER_M,
        y: block.northM + (y0 + (message.readUInt16LE(record + 2) / EDGE) * (y1 - y0)) / PER_M,
        heading: (message[record + 4] * 2 * Math.PI) / STEPS_OF_A_TURN,
        speed: message[record + 5] / 10,
        battery: (message[record + 6] * 100) / FULL_CHARGE,
        state: STATES[state],
      });
    }
    const boxM = [x0, y0, x1, y1].map((edge, n) => (n % 2 === 0 ? block.eastM : block.northM) + edge / PER_M);
    parts.push({ block: number, records: count, boxM });
  }
  need(record === message.length, "tick: more records than the blocks say");
  return {
    tick: Number(message.readBigUInt64LE(8)),
    epoch: message.readUInt32LE(40),
    sim_time_s: message.readDoubleLE(16),
    sent_at_us: Number(message.readBigUInt64LE(24)),
    started_at_us: Number(message.readBigUInt64LE(32)),
    entities_total: total,
    sums: decodeSums(message.subarray(SUMS_FROM, SUMS_FROM + SUMS * 8)),
    machines,
    parts,
  };
}

/**
 * The sums by name.
 *
 * @param {Buffer} bytes
 * @returns {Sums}
 */
function decodeSums(bytes) {
  /** @param {number} n */
  const sum = (n) => Number(bytes.readBigUInt64LE(n * 8));
  return {
    machines: sum(0),
    charge_sum: bytes.readBigInt64LE(8),
    speed_sum_mm_per_s: bytes.readBigInt64LE(16),
    by_state: Object.fromEntries(STATES.map((state, n) => [state, sum(3 + n)])),
    by_charge: Array.from({ length: 10 }, (_, n) => sum(13 + n)),
    counters: Object.fromEntries(COUNTERS.map((name, n) => [name, sum(23 + n)])),
  };
}
