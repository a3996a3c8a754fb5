/**
 * When which frame is shown. Frames come a little early or late; they are played back at the pace of the ticks' own wall
 * times, one interval behind, so that machines move evenly. Pure: time is passed in.
 */

/** What playback needs to know of a frame. */
export interface Timed {
  startedAtUs: number;
  beforeStartedAtUs: number | null;
}

/** A longer pause between two frames than this is not played back: machines go to their new places within it, ms. */
export const LONGEST_GLIDE_MS = 400;
/** Where nothing came for longer than that, a frame was not due: a run that was stepped, or stood. */
const STOOD_MS = 700;
const SHORTEST_GLIDE_MS = 16;

/** How long the way from one frame to the next takes on the screen, ms; 0 where it is shown at once. */
export function glideMs(frame: Timed): number {
  if (frame.beforeStartedAtUs === null) return 0;
  const apartMs = (frame.startedAtUs - frame.beforeStartedAtUs) / 1000;
  if (!(apartMs > 0)) return 0;
  if (apartMs > STOOD_MS) return LONGEST_GLIDE_MS;
  return Math.max(apartMs, SHORTEST_GLIDE_MS);
}

export class Playback<Frame extends Timed> {
  readonly #isStill: (frame: Frame) => boolean;
  #shown: Frame | null = null;
  #shownAtMs = 0;
  #glideMs = 0;
  #waiting: Frame | null = null;

  /** A frame on whose way nothing is seen to move is shown at once as it is. */
  constructor(isStill: (frame: Frame) => boolean) {
    this.#isStill = isStill;
  }

  get shown(): Frame | null {
    return this.#shown;
  }

  /**
   * Takes a frame at `nowMs`; gives the one that will not be shown any more, for its memory to be used again. A frame
   * that comes before the way to the shown one is done waits; where one waits already, that one is passed over to.
   */
  handleFrame(frame: Frame, nowMs: number): Frame | null {
    if (this.#shown === null) {
      this.#show(frame, nowMs);
      return null;
    }
    if (this.#waiting === null && this.progress(nowMs) < 1) {
      this.#waiting = frame;
      return null;
    }
    if (this.#waiting === null) {
      const old = this.#shown;
      this.#show(frame, nowMs);
      return old;
    }
    const old = this.#shown;
    this.#show(this.#waiting, nowMs);
    this.#waiting = frame;
    return old;
  }

  /** Goes on to the waiting frame where its time has come; gives the one that is done with. */
  poll(nowMs: number): Frame | null {
    if (this.#waiting === null || this.progress(nowMs) < 1) return null;
    const old = this.#shown;
    // Its way begins when the last one was done, not when the screen was drawn again: so no time is lost to rounding.
    const endedAtMs = Math.max(this.#shownAtMs + this.#glideMs, nowMs - LONGEST_GLIDE_MS);
    this.#show(this.#waiting, endedAtMs);
    this.#waiting = null;
    return old;
  }

  #show(frame: Frame, atMs: number): void {
    this.#shown = frame;
    this.#shownAtMs = atMs;
    this.#glideMs = this.#isStill(frame) ? 0 : glideMs(frame);
  }

  /** How far the machines are on their way to the shown frame, from 0 to 1. */
  progress(nowMs: number): number {
    if (this.#glideMs === 0) return 1;
    return Math.min(Math.max((nowMs - this.#shownAtMs) / this.#glideMs, 0), 1);
  }

  /** Whether another picture would show anything else. */
  isMoving(nowMs: number): boolean {
    return this.#waiting !== null || (this.#shown !== null && this.progress(nowMs) < 1);
  }

  /**
   * When the next picture would show something else, ms from now, where the farthest way of the shown frame has so many
   * steps that are seen.
   */
  nextInMs(steps: number, nowMs: number): number {
    const leftMs = Math.max(this.#shownAtMs + this.#glideMs - nowMs, 0);
    return steps < 1 ? leftMs : Math.min(this.#glideMs / steps, leftMs);
  }

  /** Forgets everything; gives the frames that were held. */
  clear(): Frame[] {
    const held = [this.#shown, this.#waiting].filter((frame) => frame !== null);
    this.#shown = null;
    this.#waiting = null;
    return held;
  }
}
