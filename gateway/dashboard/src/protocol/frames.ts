/**
 * Binary messages of `autofarm.v1.bin`, laid out as docs/stream.md says. A message that is not so is refused whole: every
 * number is held against the message's length and against `ids` before it is used. Never touches a socket.
 */

import { readSums, SUMS, SUMS_FROM, type Sums } from "./sums";

export const IDS = 1;
export const TICK = 2;
const VERSION = 1;
const IDS_HEADER = 64;
const IDS_BLOCK = 32;
const TICK_HEADER = 344;
const TICK_BLOCK = 24;
const ID = 4;
/** Bytes of a machine's record. */
export const RECORD = 8;
/** Most machines of a simulation, as the server bounds them too. */
const MAX_MACHINES = 1_000_000;

/** A message that is not as the page says. */
export class Malformed extends Error {
  override name = "Malformed";
}

/** Whose the records of all later ticks are: one entry a block in each column, and the ids of all machines. */
export interface Ids {
  simulation: string;
  machines: number;
  sites: number;
  /** West, south, east and north edge of the world, m. */
  worldM: [number, number, number, number];
  site: Uint32Array;
  /** Machines of the block. */
  size: Uint32Array;
  /** Index of the block's first id; a machine's index here is its *row*. */
  first: Uint32Array;
  eastM: Float64Array;
  northM: Float64Array;
  ids: Uint32Array;
}

/** A tick whose lengths were checked; its records are read in place. */
export interface Tick {
  tick: number;
  epoch: number;
  simTimeS: number;
  sentAtUs: number;
  startedAtUs: number;
  machines: number;
  records: number;
  sums: Sums;
  /** Where in `data` the blocks begin, how many there are, and where the records begin. */
  blocksAt: number;
  blocks: number;
  recordsAt: number;
  data: DataView;
}

function need(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Malformed(what());
}

function opened(message: ArrayBuffer, name: string, kind: number, header: number, block: number) {
  need(message.byteLength >= header, () => `${name}: ${message.byteLength} bytes are less than its header`);
  const data = new DataView(message);
  const found = data.getUint8(0);
  const version = data.getUint8(1);
  need(found === kind && version === VERSION, () => `${name}: kind ${found}, version ${version}`);
  const from = data.getUint16(2, true);
  const blocks = data.getUint32(4, true);
  need(from >= header && from % 8 === 0, () => `${name}: blocks from ${from} on`);
  const behind = from + blocks * block;
  need(behind <= message.byteLength, () => `${name}: ${blocks} blocks in ${message.byteLength} bytes`);
  return { data, from, blocks, behind };
}

/** Kind of a binary message, 0 for one without a byte. */
export function kindOf(message: ArrayBuffer): number {
  return message.byteLength === 0 ? 0 : new DataView(message).getUint8(0);
}

/** Decodes `ids`. Throws `Malformed`. */
export function decodeIds(message: ArrayBuffer): Ids {
  const { data, from, blocks, behind } = opened(message, "ids", IDS, IDS_HEADER, IDS_BLOCK);
  const machines = data.getUint32(24, true);
  const sites = data.getUint32(28, true);
  need(machines <= MAX_MACHINES, () => `ids: ${machines} machines`);
  need(message.byteLength === behind + machines * ID, () => `ids: ${machines} machines in ${message.byteLength} bytes`);
  const found: Ids = {
    simulation: uuid(new Uint8Array(message, 8, 16)),
    machines,
    sites,
    worldM: [32, 40, 48, 56].map((at) => data.getFloat64(at, true)) as Ids["worldM"],
    site: new Uint32Array(blocks),
    size: new Uint32Array(blocks),
    first: new Uint32Array(blocks),
    eastM: new Float64Array(blocks),
    northM: new Float64Array(blocks),
    ids: new Uint32Array(machines),
  };
  const [west, south, east, north] = found.worldM;
  need(found.worldM.every(Number.isFinite) && west <= east && south <= north, () => `ids: the world is ${found.worldM}`);
  let expected = 0;
  for (let b = 0, at = from; b < blocks; b += 1, at += IDS_BLOCK) {
    const site = data.getUint32(at, true);
    const size = data.getUint32(at + 4, true);
    const first = data.getUint32(at + 8, true);
    need(site < sites, () => `ids: site ${site} of ${sites}`);
    need(first === expected, () => `ids: block ${b} begins with ${first}, not ${expected}`);
    expected += size;
    found.site[b] = site;
    found.size[b] = size;
    found.first[b] = first;
    found.eastM[b] = data.getFloat64(at + 16, true);
    found.northM[b] = data.getFloat64(at + 24, true);
  }
  need(expected === machines, () => `ids: ${expected} machines in blocks, ${machines} ids`);
  for (let n = 0; n < machines; n += 1) found.ids[n] = data.getUint32(behind + n * ID, true);
  return found;
}

function uuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Decodes the head of a tick of the simulation that `ids` is of, and checks its blocks. Throws `Malformed`. */
export function decodeTick(message: ArrayBuffer, ids: Ids): Tick {
  const { data, from, blocks, behind } = opened(message, "tick", TICK, TICK_HEADER, TICK_BLOCK);
  const machines = data.getUint32(44, true);
  const records = data.getUint32(48, true);
  const sums = data.getUint32(52, true);
  need(sums === SUMS, () => `tick: ${sums} sums`);
  need(machines === ids.machines, () => `tick: of ${machines} machines, ${ids.machines} ids`);
  need(message.byteLength === behind + records * RECORD, () => `tick: ${records} records in ${message.byteLength} bytes`);
  checkBlocks(data, from, behind, records, ids);
  return {
    tick: Number(data.getBigUint64(8, true)),
    epoch: data.getUint32(40, true),
    simTimeS: data.getFloat64(16, true),
    sentAtUs: Number(data.getBigUint64(24, true)),
    startedAtUs: Number(data.getBigUint64(32, true)),
    machines,
    records,
    sums: readSums(data, SUMS_FROM),
    blocksAt: from,
    blocks,
    recordsAt: behind,
    data,
  };
}

function checkBlocks(data: DataView, from: number, behind: number, records: number, ids: Ids): void {
  const seen = new Set<number>();
  let counted = 0;
  for (let at = from; at < behind; at += TICK_BLOCK) {
    const block = data.getUint32(at, true);
    const count = data.getUint32(at + 4, true);
    const size = ids.size[block];
    need(size !== undefined && !seen.has(block), () => `tick: block ${block}`);
    need(count <= size, () => `tick: ${count} of ${size} machines of block ${block}`);
    const isBox = data.getInt32(at + 8, true) <= data.getInt32(at + 16, true);
    need(isBox && data.getInt32(at + 12, true) <= data.getInt32(at + 20, true), () => `tick: box of block ${block}`);
    seen.add(block);
    counted += count;
  }
  need(counted === records, () => `tick: ${counted} records in blocks, ${records} in all`);
}

/** Boxes are in 2^-16 m. */
const PER_M = 65_536;
/** Greatest of a record's coordinates, which is the box's other edge. */
const EDGE = 65_535;

/** Calls `take` for every record: its machine's row, where it is in the world, and where its bytes begin. */
export function eachRecord(tick: Tick, ids: Ids, take: (row: number, xM: number, yM: number, at: number, block: number) => void): void {
  const { data } = tick;
  let at = tick.recordsAt;
  for (let b = 0; b < tick.blocks; b += 1) {
    const part = tick.blocksAt + b * TICK_BLOCK;
    const block = data.getUint32(part, true);
    const count = data.getUint32(part + 4, true);
    const first = ids.first[block] ?? 0;
    const x0 = data.getInt32(part + 8, true);
    const y0 = data.getInt32(part + 12, true);
    const eastM = (ids.eastM[block] ?? 0) + x0 / PER_M;
    const northM = (ids.northM[block] ?? 0) + y0 / PER_M;
    const perX = (data.getInt32(part + 16, true) - x0) / PER_M / EDGE;
    const perY = (data.getInt32(part + 20, true) - y0) / PER_M / EDGE;
    for (let k = 0; k < count; k += 1, at += RECORD) {
      const xM = eastM + data.getUint16(at, true) * perX;
      const yM = northM + data.getUint16(at + 2, true) * perY;
      take(first + k, xM, yM, at, block);
    }
  }
}
