/**
 * Colours of what machines are coloured by. The ten states differ in lightness as well as in hue, so that they can be told
 * apart with any kind of colour vision (`palette.test.ts` measures it), and neighbours in meaning are neighbours in hue.
 */

import type { State } from "../protocol/states";

export type ColourBy = "state" | "charge" | "speed" | "class" | "site";

export const COLOUR_BY: readonly ColourBy[] = ["state", "charge", "speed", "class", "site"];

export type Theme = "light" | "dark";

export const STATE_COLOURS: Record<Theme, Record<State, string>> = {
  light: {
    idle: "#aeb19e",
    travelling: "#1ec1fe",
    working: "#00715b",
    turning: "#a4f7d2",
    returning: "#3c81ff",
    refilling: "#b75bac",
    queueing: "#e89e00",
    charging: "#ffd753",
    faulted: "#cc0200",
    holding: "#8420ae",
  },
  dark: {
    idle: "#826474",
    travelling: "#a5dcff",
    working: "#22c98a",
    turning: "#eaffff",
    returning: "#4461bd",
    refilling: "#b58dcc",
    queueing: "#fd9027",
    charging: "#ffd104",
    faulted: "#e60021",
    holding: "#8875ff",
  },
};

/** From none to full: dark blue to yellow, even in lightness (after cividis). */
export const RAMP = ["#123570", "#575d6d", "#8b8677", "#c4b368", "#fde737"] as const;

/** For classes and sites, which have no order; sites beyond them begin again. */
export const KINDS = ["#00715b", "#e89e00", "#3c81ff", "#b75bac", "#a4f7d2", "#cc0200", "#ffd753", "#8420ae"] as const;

/** Speed at the top of the ramp, m/s. */
export const RAMP_SPEED_M_PER_S = 3;

/** Red, green and blue from 0 to 1. */
export function rgb(hex: string): [number, number, number] {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
  return [part(1), part(3), part(5)];
}
