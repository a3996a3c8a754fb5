/**
 * Colours of what machines are coloured by. The ten states differ in lightness as well as in hue, so that they can be told
 * apart with any kind of colour vision (`palette.test.ts` measures it), and neighbours in meaning are neighbours in hue.
 */

import type { State } from "../protocol/states";

export type ColourBy = "state" | "charge" | "speed" | "class" | "site";

export const COLOUR_BY: readonly ColourBy[] = ["state", "charge", "speed", "class", "site"];

export const STATE_COLOURS: Record<State, string> = {
  idle: "#8d9295",
  travelling: "#6cc0ee",
  working: "#12996b",
  turning: "#8fe0b0",
  returning: "#2f6fd0",
  refilling: "#d98cc4",
  queueing: "#f0a020",
  charging: "#f6e36b",
  faulted: "#d8412f",
  holding: "#6b3fa0",
};

/** From none to full: dark blue to yellow, even in lightness (after cividis). */
export const RAMP = ["#123570", "#575d6d", "#8b8677", "#c4b368", "#fde737"] as const;

/** For classes and sites, which have no order; sites beyond them begin again. */
export const KINDS = ["#2f6fd0", "#f0a020", "#12996b", "#d98cc4", "#6cc0ee", "#d8412f", "#6b3fa0", "#f6e36b"] as const;

/** Speed at the top of the ramp, m/s. */
export const RAMP_SPEED_M_PER_S = 3;

/** Red, green and blue from 0 to 1. */
export function rgb(hex: string): [number, number, number] {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
  return [part(1), part(3), part(5)];
}
