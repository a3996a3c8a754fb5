/** What part of the world the map shows, and how places of the world and of the screen belong together. Pure. */

export interface Camera {
  /** Middle of the map in the world, m. */
  x: number;
  y: number;
  pxPerM: number;
}

export interface Size {
  width: number;
  height: number;
}

export type Bounds = [west: number, south: number, east: number, north: number];

/** A machine fills the screen at most so far, and a world of any size fits. */
export const MAX_PX_PER_M = 60;
const MIN_PX_PER_M = 1e-5;
/** Share of the map that is left free around what is fitted into it. */
const FIT_MARGIN = 0.05;
/** Share of the map's sides by which the view that is asked for is larger, so that a short pan shows machines at once. */
const VIEW_MARGIN = 0.1;
/** Widest coordinate that the stream takes, m. */
const MAX_COORDINATE_M = 10_000_000;

export function clampedZoom(pxPerM: number): number {
  return Math.min(Math.max(pxPerM, MIN_PX_PER_M), MAX_PX_PER_M);
}

export function toScreen(camera: Camera, size: Size, x: number, y: number): [number, number] {
  return [size.width / 2 + (x - camera.x) * camera.pxPerM, size.height / 2 - (y - camera.y) * camera.pxPerM];
}

export function toWorld(camera: Camera, size: Size, px: number, py: number): [number, number] {
  return [camera.x + (px - size.width / 2) / camera.pxPerM, camera.y - (py - size.height / 2) / camera.pxPerM];
}

/** What stands over the map at its edges, px. */
export interface Covered {
  left: number;
  top: number;
  bottom: number;
}

/** The camera that shows the bounds whole, as large as they go, in what of the map is not covered. */
export function fitted(bounds: Bounds, size: Size, covered: Covered = { left: 0, top: 0, bottom: 0 }): Camera {
  const [west, south, east, north] = bounds;
  const room = 1 - 2 * FIT_MARGIN;
  const across = (Math.max(size.width - covered.left, 1) * room) / Math.max(east - west, 1);
  const up = (Math.max(size.height - covered.top - covered.bottom, 1) * room) / Math.max(north - south, 1);
  const pxPerM = clampedZoom(Math.min(across, up));
  return {
    x: (west + east) / 2 - covered.left / 2 / pxPerM,
    y: (south + north) / 2 + (covered.top - covered.bottom) / 2 / pxPerM,
    pxPerM,
  };
}

/** Zooms by a factor so that the place under a point of the screen stays there. */
export function zoomedAt(camera: Camera, size: Size, factor: number, px: number, py: number): Camera {
  const pxPerM = clampedZoom(camera.pxPerM * factor);
  const [x, y] = toWorld(camera, size, px, py);
  return {
    x: x - (px - size.width / 2) / pxPerM,
    y: y + (py - size.height / 2) / pxPerM,
    pxPerM,
  };
}

/** Moves what is shown by so many pixels. */
export function panned(camera: Camera, dx: number, dy: number): Camera {
  return { ...camera, x: camera.x - dx / camera.pxPerM, y: camera.y + dy / camera.pxPerM };
}

export function visibleBounds(camera: Camera, size: Size): Bounds {
  const halfX = size.width / 2 / camera.pxPerM;
  const halfY = size.height / 2 / camera.pxPerM;
  return [camera.x - halfX, camera.y - halfY, camera.x + halfX, camera.y + halfY];
}

/** Area that two bounds have in common, m². */
export function overlapM2(one: Bounds, other: Bounds = one): number {
  const side = (at: 0 | 1) => Math.max(Math.min(one[at + 2]!, other[at + 2]!) - Math.max(one[at], other[at]), 0);
  return side(0) * side(1);
}

/** Bounds to ask the stream for: what is visible with a margin, or null where that is the whole world. */
export function askedBounds(camera: Camera, size: Size, world: Bounds): Bounds | null {
  const [west, south, east, north] = visibleBounds(camera, size);
  const marginX = (east - west) * VIEW_MARGIN;
  const marginY = (north - south) * VIEW_MARGIN;
  const clamp = (m: number) => Math.min(Math.max(m, -MAX_COORDINATE_M), MAX_COORDINATE_M);
  const asked: Bounds = [clamp(west - marginX), clamp(south - marginY), clamp(east + marginX), clamp(north + marginY)];
  const holdsAll = asked[0] <= world[0] && asked[1] <= world[1] && asked[2] >= world[2] && asked[3] >= world[3];
  if (holdsAll || asked[0] >= asked[2] || asked[1] >= asked[3]) return null;
  return asked;
}

/** Keeps the middle of the map within the world, so that nobody is lost. */
export function keptInside(camera: Camera, world: Bounds): Camera {
  const clamp = (m: number, low: number, high: number) => Math.min(Math.max(m, low), high);
  return { ...camera, x: clamp(camera.x, world[0], world[2]), y: clamp(camera.y, world[1], world[3]) };
}

/** A round length that is at most so many pixels wide, for the scale bar, m. */
export function scaleLength(pxPerM: number, mostPx: number): number {
  const most = mostPx / pxPerM;
  const decade = 10 ** Math.floor(Math.log10(most));
  const step = [5, 2, 1].find((n) => n * decade <= most) ?? 1;
  return step * decade;
}
