/** Interpolation between ticks: even, never backwards, and never more than one frame behind. */

import { describe, expect, it } from "vitest";
import { glideMs, LONGEST_GLIDE_MS, Playback } from "../src/map/playback";

const frame = (n: number, everyMs = 100) => ({
  n,
  startedAtUs: n * everyMs * 1000,
  beforeStartedAtUs: n === 0 ? null : (n - 1) * everyMs * 1000,
});

describe("how long a way takes", () => {
  it("is as long as the ticks are apart on the wall", () => expect(glideMs(frame(1))).toBe(100));
  it("is nothing for the first frame", () => expect(glideMs(frame(0))).toBe(0));
  it("is short after a pause of an hour", () => expect(glideMs({ startedAtUs: 3.6e9, beforeStartedAtUs: 0 })).toBe(LONGEST_GLIDE_MS));
  it("is nothing where time goes back", () => expect(glideMs({ startedAtUs: 0, beforeStartedAtUs: 5 })).toBe(0));
});

it("frames that come unevenly are shown evenly", () => {
  const playback = new Playback<ReturnType<typeof frame>>(() => false);
  const arrivals = [0, 100, 180, 320, 390, 500];
  const places: number[] = [];
  for (let now = 0; now <= 700; now += 10) {
    const arrived = arrivals.indexOf(now);
    if (arrived >= 0) playback.handleFrame(frame(arrived), now);
    playback.poll(now);
    const shown = playback.shown;
    if (shown !== null && shown.n > 0) places.push(shown.n - 1 + playback.progress(now));
  }
  for (let n = 1; n < places.length; n += 1) {
    const step = places[n]! - places[n - 1]!;
    expect(step).toBeGreaterThanOrEqual(0);
    expect(step).toBeLessThanOrEqual(0.4);
  }
  expect(places.at(-1)).toBe(5);
});

it("gives every frame back once, and holds two at most", () => {
  const playback = new Playback<ReturnType<typeof frame>>(() => false);
  const back: number[] = [];
  for (let n = 0; n < 10; n += 1) {
    const done = playback.handleFrame(frame(n), n);
    if (done !== null) back.push(done.n);
  }
  expect(back).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(playback.clear().map((held) => held.n)).toEqual([8, 9]);
  expect(playback.shown).toBeNull();
});

it("a frame on whose way nothing is seen to move waits for nothing, and needs one picture", () => {
  const playback = new Playback<ReturnType<typeof frame>>(({ n }) => n > 1);
  for (const n of [0, 1, 2]) playback.handleFrame(frame(n), 0);
  expect(playback.poll(100)?.n).toBe(1);
  expect(playback.isMoving(100)).toBe(false);
  expect(playback.handleFrame(frame(3), 110)?.n).toBe(2);
  expect(playback.progress(110)).toBe(1);
});

it("stands still when nothing is left to show", () => {
  const playback = new Playback<ReturnType<typeof frame>>(() => false);
  playback.handleFrame(frame(0), 0);
  playback.handleFrame(frame(1), 10);
  expect(playback.isMoving(50)).toBe(true);
  expect(playback.isMoving(110)).toBe(false);
});

it("a step out of a pause is shown within moments, whatever the pause was", () => {
  for (const pausedMs of [800, 1_700, 60_000]) {
    const playback = new Playback<{ startedAtUs: number; beforeStartedAtUs: number | null }>(() => false);
    playback.handleFrame({ startedAtUs: 0, beforeStartedAtUs: null }, 0);
    playback.handleFrame({ startedAtUs: pausedMs * 1000, beforeStartedAtUs: 0 }, pausedMs);
    expect(playback.isMoving(pausedMs + LONGEST_GLIDE_MS)).toBe(false);
  }
});

it("never goes back to an older frame, however seldom the screen is drawn", () => {
  const playback = new Playback<ReturnType<typeof frame>>(() => false);
  const shown: number[] = [];
  for (let now = 0; now <= 3000; now += 10) {
    if (now % 70 === 0) playback.handleFrame(frame(now / 70), now);
    if (now % 330 === 0) playback.poll(now);
    shown.push(playback.shown?.n ?? 0);
  }
  expect(shown).toEqual([...shown].sort((a, b) => a - b));
});

describe("how often pictures are drawn", () => {
  const playback = new Playback<ReturnType<typeof frame>>(() => false);
  playback.handleFrame(frame(0), 0);
  playback.handleFrame(frame(1), 0);
  it("is once a frame where nothing is seen to move any more", () => expect(playback.nextInMs(0.2, 20)).toBe(80));
  it("is as often as something is seen to move", () => expect(playback.nextInMs(4, 20)).toBe(25));
  it("is at once where machines run", () => expect(playback.nextInMs(1000, 20)).toBeLessThan(1));
  it("is when the way is done at the latest", () => expect(playback.nextInMs(1.2, 95)).toBe(5));
});
