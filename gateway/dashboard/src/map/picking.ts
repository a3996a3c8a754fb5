/** Looks into a frame: which machine is under a point, where a machine is, how many are seen. Pure. */

import { type MachineFrame, STRIDE } from "../stream/channel";
import type { Bounds } from "./camera";

const FLOATS = STRIDE / 4;
const SPEED_AT = 18;
const STATE_AT = 20;
const CLASS_AT = 21;

/** What of a frame is shown: a bit for each state and class. */
export interface Filter {
  states: number;
  classes: number;
}

/** A machine in a frame, as it is now on its way. */
export interface Seen {
  row: number;
  xM: number;
  yM: number;
  headingTurns: number;
  speedMPerS: number;
  charge: number;
  state: number;
  classCode: number;
}

function isShown(bytes: Uint8Array, n: number, filter: Filter): boolean {
  const state = bytes[n * STRIDE + STATE_AT] as number;
  const kind = bytes[n * STRIDE + CLASS_AT] as number;
  return ((filter.states >>> Math.min(state, 31)) & 1) === 1 && (kind > 31 || ((filter.classes >>> kind) & 1) === 1);
}

/** Rows of the machines of a frame, in its order. */
export function rowsOf(frame: MachineFrame): Uint32Array {
  return new Uint32Array(frame.buffer, frame.count * STRIDE, frame.count);
}

function seenAt(frame: MachineFrame, n: number, progress: number): Seen {
  const floats = new Float32Array(frame.buffer, n * STRIDE, 4);
  const bytes = new Uint8Array(frame.buffer, n * STRIDE, STRIDE);
  const between = (to: number, from: number) => from + (to - from) * progress;
  return {
    row: rowsOf(frame)[n] as number,
    xM: frame.anchorM[0] + between(floats[0] as number, floats[2] as number),
    yM: frame.anchorM[1] + between(floats[1] as number, floats[3] as number),
    headingTurns: (bytes[16] as number) / 256,
    speedMPerS: (bytes[SPEED_AT] as number) / 10,
    charge: (bytes[19] as number) / 255,
    state: bytes[STATE_AT] as number,
    classCode: bytes[CLASS_AT] as number,
  };
}

/** The shown machine nearest to a place, within a distance. */
export function nearest(frame: MachineFrame, progress: number, filter: Filter, xM: number, yM: number, withinM: number): Seen | null {
  const floats = new Float32Array(frame.buffer, 0, frame.count * FLOATS);
  const bytes = new Uint8Array(frame.buffer, 0, frame.count * STRIDE);
  const x = xM - frame.anchorM[0];
  const y = yM - frame.anchorM[1];
  let best = -1;
  let bestSquare = withinM * withinM;
  for (let n = 0; n < frame.count; n += 1) {
    const f = n * FLOATS;
    const fromX = floats[f + 2] as number;
    const fromY = floats[f + 3] as number;
    const dx = fromX + ((floats[f] as number) - fromX) * progress - x;
    const dy = fromY + ((floats[f + 1] as number) - fromY) * progress - y;
    const square = dx * dx + dy * dy;
    if (square <= bestSquare && isShown(bytes, n, filter)) {
      best = n;
      bestSquare = square;
    }
  }
  return best < 0 ? null : seenAt(frame, best, progress);
}

/** A machine of a frame by its row; null where the frame has it not. */
export function machineOf(frame: MachineFrame, row: number, progress: number): Seen | null {
  const n = rowsOf(frame).indexOf(row);
  return n < 0 ? null : seenAt(frame, n, progress);
}

/** A shown machine that moves, else any; `chance`, from 0 to 1, chooses where the search begins. */
export function moving(frame: MachineFrame, filter: Filter, chance: number): Seen | null {
  const bytes = new Uint8Array(frame.buffer, 0, frame.count * STRIDE);
  const first = Math.floor(chance * frame.count);
  let any = -1;
  for (let k = 0; k < frame.count; k += 1) {
    const n = (first + k) % frame.count;
    if (!isShown(bytes, n, filter)) continue;
    if ((bytes[n * STRIDE + SPEED_AT] as number) > 0) return seenAt(frame, n, 1);
    if (any < 0) any = n;
  }
  return any < 0 ? null : seenAt(frame, any, 1);
}

/** Machines that are shown within bounds. */
export function countShown(frame: MachineFrame, filter: Filter, bounds: Bounds): number {
  const floats = new Float32Array(frame.buffer, 0, frame.count * FLOATS);
  const bytes = new Uint8Array(frame.buffer, 0, frame.count * STRIDE);
  const [west, south, east, north] = bounds;
  const [x0, y0] = frame.anchorM;
  let count = 0;
  for (let n = 0; n < frame.count; n += 1) {
    const x = (floats[n * FLOATS] as number) + x0;
    const y = (floats[n * FLOATS + 1] as number) + y0;
    if (x >= west && x <= east && y >= south && y <= north && isShown(bytes, n, filter)) count += 1;
  }
  return count;
}
