/** How many machines queue at each station that is seen, of a frame that has them all. Pure. */

import { STATES } from "../protocol/states";
import { type MachineFrame, STRIDE } from "../stream/channel";
import type { Camera, Size } from "./camera";
import { type Ground, hasStations, sitesSeen } from "./ground";

const STATE_AT = 20;
const QUEUEING = STATES.indexOf("queueing");

/** By the site's number times its stations, and the station's; who waits elsewhere is counted at the nearest station of its site. */
export function queuesOf(frame: MachineFrame, ground: Ground, camera: Camera, size: Size): ReadonlyMap<number, number> {
  const queues = new Map<number, number>();
  const { layout } = ground;
  if (layout === null || !hasStations(layout, camera)) return queues;
  const floats = new Float32Array(frame.buffer, 0, (frame.count * STRIDE) / 4);
  const bytes = new Uint8Array(frame.buffer, 0, frame.count * STRIDE);
  const [west, south, east, north] = layout.bounds_m as [number, number, number, number];
  const seen = [...sitesSeen(ground, layout, camera, size)];
  for (let n = 0; n < frame.count; n += 1) {
    if (bytes[n * STRIDE + STATE_AT] !== QUEUEING) continue;
    const xM = frame.anchorM[0] + (floats[(n * STRIDE) / 4] as number);
    const yM = frame.anchorM[1] + (floats[(n * STRIDE) / 4 + 1] as number);
    for (const [site, x, y] of seen) {
      if (xM < x + west || xM > x + east || yM < y + south || yM > y + north) continue;
      const away = layout.stations.map(({ slots_m }) => Math.hypot(slots_m[0]![0]! + x - xM, slots_m[0]![1]! + y - yM));
      const at = site * away.length + away.indexOf(Math.min(...away));
      queues.set(at, (queues.get(at) ?? 0) + 1);
    }
  }
  return queues;
}
