/**
 * Draws what machines stand on: sites, fields with their rows, headlands, yards and stations, to scale. Every site is made
 * alike, so that one layout is drawn at each site's origin; what is too small to be seen is left out.
 */

import type { components } from "../api/schema";
import { type Bounds, type Camera, overlapM2, type Size, toScreen, visibleBounds } from "./camera";

export type Layout = components["schemas"]["SiteLayout"];

/** Where the ground is, as far as it is known. */
export interface Ground {
  worldM: Bounds;
  layout: Layout | null;
  /** East and north of each site's origin, m. */
  originsM: Float64Array;
}

export interface GroundColours {
  site: string;
  field: string;
  row: string;
  headland: string;
  yard: string;
  station: string;
  parking: string;
  queue: string;
  queueText: string;
  label: string;
}

/** A site less wide than that is a part of one even land, px. */
const SITE_FROM_PX = 6;
const FIELDS_FROM_PX = 40;
const LABEL_FROM_PX = 140;
/** Rows less far apart than that are not drawn, px. */
const ROWS_FROM_PX = 3.5;
const SLOTS_FROM_PX_PER_M = 1.2;
const STATION_MARK_FROM_PX = 260;
/** Stations less far apart than that are not marked: marks would lie on each other. */
const STATIONS_APART_PX = 28;
/** How high the mark of a charging slot is from afar, px. */
const FAR_BOLT_PX = 13;
/** Least radius of the disc around a station at which machines wait, px. */
const QUEUE_DISC_PX = 8;
/** Length of a charging slot's side, m. */
const SLOT_M = 2.6;

/** Draws the ground; `queues` are as `queuesOf` counts them. */
export function drawGround(
  context: CanvasRenderingContext2D,
  ground: Ground,
  camera: Camera,
  size: Size,
  colours: GroundColours,
  queues: ReadonlyMap<number, number>,
): void {
  context.clearRect(0, 0, size.width, size.height);
  const { layout, originsM } = ground;
  if (layout === null || widthPx(layout, camera) < SITE_FROM_PX) {
    context.fillStyle = colours.site;
    fill(context, camera, size, ground.worldM, 0, 0);
    return;
  }
  const isOnly = originsM.length === 2;
  for (const [site, x, y] of sitesSeen(ground, layout, camera, size)) drawSite(context, layout, site, x, y, camera, size, colours, queues, isOnly);
}

function widthPx({ bounds_m }: Layout, camera: Camera): number {
  return (bounds_m[2]! - bounds_m[0]!) * camera.pxPerM;
}

/** Whether stations are so large that they are drawn, or so far apart that they are marked. */
export function hasStations(layout: Layout, camera: Camera): boolean {
  const bounds = layout.bounds_m as Bounds;
  const apartPx = camera.pxPerM * Math.sqrt(overlapM2(bounds) / layout.stations.length);
  return camera.pxPerM >= SLOTS_FROM_PX_PER_M || (widthPx(layout, camera) >= STATION_MARK_FROM_PX && apartPx >= STATIONS_APART_PX);
}

/** The sites of which a part is seen, each with where its frame begins in the world, m. */
export function* sitesSeen({ originsM }: Ground, layout: Layout, camera: Camera, size: Size): Generator<[site: number, x: number, y: number]> {
  const [west, south, east, north] = visibleBounds(camera, size);
  const [layoutWest, layoutSouth, layoutEast, layoutNorth] = layout.bounds_m as Bounds;
  const isOnly = originsM.length === 2;
  for (let site = 0; site * 2 < originsM.length; site += 1) {
    // The frame of the only site is the world's.
    const x = isOnly ? 0 : (originsM[site * 2] as number);
    const y = isOnly ? 0 : (originsM[site * 2 + 1] as number);
    const isSeen = x + layoutEast >= west && x + layoutWest <= east && y + layoutNorth >= south && y + layoutSouth <= north;
    if (isSeen) yield [site, x, y];
  }
}

function drawSite(
  context: CanvasRenderingContext2D,
  layout: Layout,
  site: number,
  x: number,
  y: number,
  camera: Camera,
  size: Size,
  colours: GroundColours,
  queues: ReadonlyMap<number, number>,
  isOnly: boolean,
): void {
  const box = (bounds: readonly number[], colour: string) => {
    context.fillStyle = colour;
    fill(context, camera, size, bounds as Bounds, x, y);
  };
  const wide = widthPx(layout, camera);
  if (wide < FIELDS_FROM_PX) return box(layout.bounds_m, colours.field);
  box(layout.bounds_m, colours.site);
  for (const headland of layout.headlands) box(headland.bounds_m, colours.headland);
  for (const field of layout.fields) {
    box(field.yard_m, colours.yard);
    box(field.bounds_m, colours.field);
  }
  for (const field of layout.fields) drawRows(context, field, x, y, camera, size, colours.row);
  drawStations(context, layout, site, x, y, camera, size, colours, queues);
  if (!isOnly && wide >= LABEL_FROM_PX) {
    const [px, py] = toScreen(camera, size, x + layout.bounds_m[0]!, y + layout.bounds_m[3]!);
    context.fillStyle = colours.label;
    context.font = "500 11px system-ui, sans-serif";
    context.fillText(`Site ${site}`, px + 2, py - 5);
  }
}

function fill(context: CanvasRenderingContext2D, camera: Camera, size: Size, bounds: Bounds, x: number, y: number): void {
  const [left, top] = toScreen(camera, size, bounds[0] + x, bounds[3] + y);
  const [right, bottom] = toScreen(camera, size, bounds[2] + x, bounds[1] + y);
  // Clipped by hand: a field may be a million pixels wide at a close look.
  const fromX = Math.max(left, -2);
  const fromY = Math.max(top, -2);
  const toX = Math.min(right, size.width + 2);
  const toY = Math.min(bottom, size.height + 2);
  if (toX > fromX && toY > fromY) context.fillRect(fromX, fromY, Math.max(toX - fromX, 0.5), Math.max(toY - fromY, 0.5));
}

function drawRows(context: CanvasRenderingContext2D, field: Layout["fields"][number], x: number, y: number, camera: Camera, size: Size, colour: string): void {
  const apartPx = field.row_pitch_m * camera.pxPerM;
  if (apartPx < ROWS_FROM_PX) return;
  const firstX = field.first_row_x_m + x;
  const [west, south, east, north] = visibleBounds(camera, size);
  const from = Math.max(Math.ceil((west - firstX) / field.row_pitch_m), 0);
  const to = Math.min(Math.floor((east - firstX) / field.row_pitch_m), field.rows - 1);
  // A row ends on the line on which machines turn, beyond the field; what grows ends with the field.
  const bottomM = Math.max(field.row_ends_y_m[0]! + y, field.bounds_m[1]! + y, south);
  const topM = Math.min(field.row_ends_y_m[1]! + y, field.bounds_m[3]! + y, north);
  if (from > to || bottomM >= topM) return;
  context.strokeStyle = colour;
  context.lineWidth = Math.min(Math.max(apartPx * 0.12, 0.6), 5);
  context.beginPath();
  for (let row = from; row <= to; row += 1) {
    const [px, bottom] = toScreen(camera, size, firstX + row * field.row_pitch_m, bottomM);
    const top = toScreen(camera, size, 0, topM)[1];
    context.moveTo(px, bottom);
    context.lineTo(px, top);
  }
  context.stroke();
}

function drawStations(
  context: CanvasRenderingContext2D,
  layout: Layout,
  site: number,
  x: number,
  y: number,
  camera: Camera,
  size: Size,
  colours: GroundColours,
  queues: ReadonlyMap<number, number>,
): void {
  if (!hasStations(layout, camera)) return;
  const isNear = camera.pxPerM >= SLOTS_FROM_PX_PER_M;
  layout.stations.forEach((station, n) => {
    const queue = queues.get(site * layout.stations.length + n) ?? 0;
    if (queue > 0) drawQueue(context, queue, toScreen(camera, size, station.slots_m[0]![0]! + x, station.slots_m[0]![1]! + y), colours);
    if (isNear) for (const place of station.parking_m) frame(context, camera, size, place, x, y, colours.parking);
    for (const place of station.slots_m) {
      if (isNear) frame(context, camera, size, place, x, y, colours.station);
      const [px, py] = toScreen(camera, size, place[0]! + x, place[1]! + y);
      const isSeen = px > -20 && py > -20 && px < size.width + 20 && py < size.height + 20;
      if (isSeen) bolt(context, px, py, isNear ? Math.max(Math.min(SLOT_M * camera.pxPerM * 0.7, 26), FAR_BOLT_PX) : FAR_BOLT_PX, colours.station);
    }
  });
}

/** A disc around a station, larger with every machine that waits there, and their number beside it, where no machine stands on it. */
function drawQueue(context: CanvasRenderingContext2D, machines: number, [px, py]: readonly [number, number], colours: GroundColours): void {
  const radius = QUEUE_DISC_PX + 3 * Math.sqrt(machines);
  context.fillStyle = colours.queue;
  context.globalAlpha = 0.55;
  context.beginPath();
  context.arc(px, py, radius, 0, 2 * Math.PI);
  context.fill();
  context.globalAlpha = 1;
  context.font = "700 12px system-ui, sans-serif";
  context.fillStyle = colours.queueText;
  context.fillText(String(machines), px + radius + 1, py - radius / 2);
}

function frame(context: CanvasRenderingContext2D, camera: Camera, size: Size, place: readonly number[], x: number, y: number, colour: string): void {
  const [px, py] = toScreen(camera, size, place[0]! + x, place[1]! + y);
  const side = SLOT_M * camera.pxPerM;
  if (px < -side || py < -side || px > size.width + side || py > size.height + side) return;
  context.strokeStyle = colour;
  context.lineWidth = Math.min(Math.max(camera.pxPerM * 0.15, 1), 3);
  context.strokeRect(px - side / 2, py - side / 2, side, side);
}

/** A stroke of lightning: here machines charge. */
function bolt(context: CanvasRenderingContext2D, px: number, py: number, high: number, colour: string): void {
  const unit = high / 10;
  context.fillStyle = colour;
  context.beginPath();
  for (const [dx, dy] of [
    [1, -5],
    [-3, 1],
    [-0.5, 1],
    [-1, 5],
    [3, -1],
    [0.5, -1],
  ] as const) {
    context.lineTo(px + dx * unit, py + dy * unit);
  }
  context.fill();
}
