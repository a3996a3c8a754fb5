/** The colours of the states, seen with each kind of colour vision (Machado, Oliveira and Fernandes, 2009), by distance in OKLab. */

import { describe, expect, it } from "vitest";
import { rgb, STATE_COLOURS } from "../src/map/palette";

const VISION: Record<string, number[]> = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
/** Two colours nearer than this are hard to tell apart as dots; a just noticeable difference is about 0.02. */
const APART = 0.11;

function oklab(colour: string, vision: number[]): number[] {
  const linear = rgb(colour).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const [r, g, b] = [0, 3, 6].map((row) =>
    Math.min(
      Math.max(
        linear.reduce((sum, c, n) => sum + c * vision[row + n]!, 0),
        0,
      ),
      1,
    ),
  ) as [number, number, number];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

describe.each(["light", "dark"] as const)("on a %s map", (theme) => {
  it.each(Object.keys(VISION))("no two states look alike with %s vision", (kind) => {
    const seen = Object.entries(STATE_COLOURS[theme]).map(([name, colour]) => ({ name, at: oklab(colour, VISION[kind]!) }));
    const pairs = seen.flatMap((a, n) =>
      seen.slice(n + 1).map((b) => ({ pair: `${a.name} ${b.name}`, apart: Math.hypot(...a.at.map((x, k) => x - b.at[k]!)) })),
    );
    expect(pairs.filter(({ apart }) => apart < APART)).toEqual([]);
  });
});
