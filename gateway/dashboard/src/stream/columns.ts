/** Turns decoded ticks into frames for the graphics card, and remembers where each machine was in the frame before. */

import { eachRecord, type Ids, type Tick } from "../protocol/frames";
import { type MachineFrame, STRIDE } from "./channel";

const ROW = 4;
/** A machine that is further from where it was than this is put there at once, m. */
const LONGEST_MOVE_M = 400;

/** Bytes that a frame of so many machines needs. */
export function frameBytes(count: number): number {
  return count * (STRIDE + ROW);
}

export class Columns {
  readonly #ids: Ids;
  #classOfRow: Uint8Array | null = null;
  /** Place of each row in the last frame that was made, and the number of that frame. */
  readonly #x: Float64Array;
  readonly #y: Float64Array;
  readonly #heading: Uint8Array;
  readonly #frameOf: Uint32Array;
  #frame = 0;
  #before: { startedAtUs: number; epoch: number; tick: number } | null = null;

  constructor(ids: Ids) {
    this.#ids = ids;
    this.#x = new Float64Array(ids.machines);
    this.#y = new Float64Array(ids.machines);
    this.#heading = new Uint8Array(ids.machines);
    this.#frameOf = new Uint32Array(ids.machines);
  }

  set classOfRow(classes: Uint8Array | null) {
    this.#classOfRow = classes;
  }

  /** Writes a tick into `buffer`, which holds at least `frameBytes(tick.records)`. */
  fill(tick: Tick, anchorM: [number, number], buffer: ArrayBuffer): MachineFrame {
    const floats = new Float32Array(buffer, 0, (tick.records * STRIDE) / 4);
    const bytes = new Uint8Array(buffer, 0, tick.records * STRIDE);
    const rows = new Uint32Array(buffer, tick.records * STRIDE, tick.records);
    const source = tick.data;
    const [anchorX, anchorY] = anchorM;
    const { site } = this.#ids;
    const classes = this.#classOfRow;
    const goesOn = this.#goesOn(tick);
    const before = this.#frame;
    this.#frame += 1;
    let n = 0;
    let longestMoveM = 0;
    eachRecord(tick, this.#ids, (row, xM, yM, at, block) => {
      const heading = source.getUint8(at + 4);
      let fromX = xM;
      let fromY = yM;
      let fromHeading = heading;
      if (goesOn && this.#frameOf[row] === before) {
        const x = this.#x[row] as number;
        const y = this.#y[row] as number;
        if (Math.abs(x - xM) < LONGEST_MOVE_M && Math.abs(y - yM) < LONGEST_MOVE_M) {
          longestMoveM = Math.max(longestMoveM, Math.abs(x - xM), Math.abs(y - yM));
          fromX = x;
          fromY = y;
          fromHeading = this.#heading[row] as number;
        }
      }
      const f = n * (STRIDE / 4);
      floats[f] = xM - anchorX;
      floats[f + 1] = yM - anchorY;
      floats[f + 2] = fromX - anchorX;
      floats[f + 3] = fromY - anchorY;
      const b = n * STRIDE + 16;
      bytes[b] = heading;
      bytes[b + 1] = fromHeading;
      bytes[b + 2] = source.getUint8(at + 5);
      bytes[b + 3] = source.getUint8(at + 6);
      bytes[b + 4] = source.getUint8(at + 7);
      bytes[b + 5] = classes === null ? 255 : (classes[row] as number);
      bytes[b + 6] = (site[block] as number) & 255;
      bytes[b + 7] = 0;
      rows[n] = row;
      this.#x[row] = xM;
      this.#y[row] = yM;
      this.#heading[row] = heading;
      this.#frameOf[row] = this.#frame;
      n += 1;
    });
    const beforeStartedAtUs = goesOn && this.#before !== null ? this.#before.startedAtUs : null;
    this.#before = { startedAtUs: tick.startedAtUs, epoch: tick.epoch, tick: tick.tick };
    return {
      tick: tick.tick,
      epoch: tick.epoch,
      simTimeS: tick.simTimeS,
      startedAtUs: tick.startedAtUs,
      beforeStartedAtUs,
      anchorM,
      count: tick.records,
      longestMoveM,
      machines: tick.machines,
      buffer,
      sums: tick.sums,
    };
  }

  /** Whether a tick follows the one before, so that machines move there; else they are put there. */
  #goesOn(tick: Tick): boolean {
    return this.#before !== null && tick.epoch === this.#before.epoch && tick.tick >= this.#before.tick;
  }
}
