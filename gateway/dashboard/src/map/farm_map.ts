/**
 * The map: holds the camera, draws ground and machines when there is something new to see, and turns pointer, wheel and
 * touch into movement. Knows nothing of the page around it; it is told by `setFrame` and the like, and tells by callbacks.
 */

import type { MachineFrame } from "../stream/channel";
import { type Bounds, type Camera, type Covered, fitted, keptInside, overlapM2, panned, type Size, toScreen, toWorld, visibleBounds, zoomedAt } from "./camera";
import { Gestures } from "./gestures";
import { drawGround, type Ground, type GroundColours } from "./ground";
import { type Look, MachinesLayer, pointPx } from "./machines_layer";
import type { Theme } from "./palette";
import { countShown, machineOf, moving, nearest, type Seen } from "./picking";
import { Playback } from "./playback";
import { queuesOf } from "./queues";

/** A click may miss a machine by so much, px. */
const PICK_WITHIN_PX = 14;
/** More pixels a point of the page than that are not drawn: nobody sees them, and everybody waits. */
const MOST_DEVICE_PX = 2;
/** Who moves by less is not seen to move, px. */
const SEEN_MOVE_PX = 0.5;
/** A picture of the screen takes about so long, ms. */
const SCREEN_MS = 17;
/** What covers a wide map: the legend. */
const COVERED_WIDE: Covered = { left: 270, top: 0, bottom: 0 };
const WIDE_FROM_PX = 700;
/** What covers a narrow one: the head of the legend above, buttons and an alert below. */
const COVERED_NARROW: Covered = { left: 0, top: 54, bottom: 130 };
/** Camera flights take so long, ms. */
const FLIGHT_MS = 450;

export interface MapEvents {
  onCamera(camera: Camera, size: Size): void;
  /** A picture was drawn, of so many machines, and took so long to prepare. */
  onPicture(picture: { tick: number | null; drawn: number; tookMs: number }): void;
  onPick(seen: Seen | null): void;
  onHover(seen: Seen | null, px: number, py: number): void;
  /** A frame's memory may be used again. */
  onDone(frame: MachineFrame): void;
  /** Where the marked machine is on the screen, in every picture; null where it is not in the frame. */
  onMarked(place: { px: number; py: number; radiusPx: number; seen: Seen } | null): void;
  onFollowEnded(): void;
}

export interface MapCanvases {
  ground: HTMLCanvasElement;
  machines: HTMLCanvasElement;
}

export class FarmMap {
  readonly #canvases: MapCanvases;
  readonly #events: MapEvents;
  readonly #layer: MachinesLayer;
  readonly #playback = new Playback<MachineFrame>((frame) => this.#farthestPx(frame) < SEEN_MOVE_PX);
  readonly #gestures: Gestures;
  readonly #observer: ResizeObserver;
  #size: Size = { width: 1, height: 1 };
  #devicePx = 1;
  #camera: Camera = { x: 0, y: 0, pxPerM: 1 };
  #ground: Ground | null = null;
  #colours: GroundColours | null = null;
  #look: Look = { colourBy: "state", states: -1, classes: -1, outline: [0, 0, 0], theme: "light" };
  #marked: number | null = null;
  #isFollowing = false;
  #flight: { from: Camera; to: Camera; startedAtMs: number } | null = null;
  #isGroundDue = true;
  #isCountDue = true;
  #drawn = 0;
  #isSample = false;
  #queues: ReadonlyMap<number, number> = new Map();
  #request = 0;
  #later: ReturnType<typeof setTimeout> | undefined;
  #isGone = false;
  /** Whether somebody has moved the camera, so that a new world does not move it. */
  #isPlaced = false;

  /** Throws `NoGraphics` where machines cannot be drawn. */
  constructor(canvases: MapCanvases, events: MapEvents) {
    this.#canvases = canvases;
    this.#events = events;
    this.#layer = new MachinesLayer(canvases.machines);
    this.#gestures = new Gestures(canvases.machines, {
      onPan: (dx, dy) => this.pan(dx, dy),
      onZoom: (factor, px, py) => this.zoom(factor, px, py),
      onClick: (px, py) => this.#events.onPick(this.pick(px, py)),
      onHover: (px, py) => this.#events.onHover(px < 0 ? null : this.pick(px, py), px, py),
    });
    canvases.machines.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvases.machines.addEventListener("webglcontextrestored", () => {
      this.#layer.prepare();
      this.#layer.upload(this.#playback.shown);
      this.#draw();
    });
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(canvases.machines);
    this.#resize();
  }

  close(): void {
    this.#isGone = true;
    cancelAnimationFrame(this.#request);
    clearTimeout(this.#later);
    this.#observer.disconnect();
    this.#gestures.close();
    for (const frame of this.#playback.clear()) this.#events.onDone(frame);
  }

  get camera(): Camera {
    return this.#camera;
  }

  get size(): Size {
    return this.#size;
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#canvases.machines;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.#size = { width: clientWidth, height: clientHeight };
    this.#devicePx = Math.min(window.devicePixelRatio || 1, MOST_DEVICE_PX);
    for (const canvas of [this.#canvases.ground, this.#canvases.machines]) {
      canvas.width = Math.round(clientWidth * this.#devicePx);
      canvas.height = Math.round(clientHeight * this.#devicePx);
    }
    if (this.#ground !== null && !this.#isPlaced) this.#camera = this.#whole(this.#ground);
    this.#moved();
  }

  // What is shown

  setGround(ground: Ground | null): void {
    const isNew = this.#ground === null && ground !== null;
    this.#ground = ground;
    if (isNew && !this.#isPlaced && this.#size.width > 1) {
      this.#camera = this.#whole(ground);
      this.#moved();
    }
    this.#isGroundDue = true;
    this.#draw();
  }

  setColours(colours: GroundColours, outline: [number, number, number], theme: Theme): void {
    this.#colours = colours;
    this.#look = { ...this.#look, outline, theme };
    this.#isGroundDue = true;
    this.#draw();
  }

  setLook(look: Omit<Look, "outline" | "theme">): void {
    this.#look = { ...look, outline: this.#look.outline, theme: this.#look.theme };
    this.#isCountDue = true;
    this.#draw();
  }

  /** Of a frame that is a sample it is not said how many machines queue where. */
  setFrame(frame: MachineFrame, isSample: boolean): void {
    this.#isSample = isSample;
    const before = this.#playback.shown;
    const done = this.#playback.handleFrame(frame, performance.now());
    if (this.#playback.shown !== before) this.#show();
    if (done !== null) this.#events.onDone(done);
    this.#drawOn(performance.now());
  }

  #show(): void {
    this.#layer.upload(this.#playback.shown);
    this.#isCountDue = true;
    // The ground is drawn anew only where another number queues.
    if (String([...this.#queuesNow()]) !== String([...this.#queues])) this.#isGroundDue = true;
  }

  #queuesNow(): ReadonlyMap<number, number> {
    const frame = this.#playback.shown;
    return frame === null || this.#ground === null || this.#isSample ? new Map() : queuesOf(frame, this.#ground, this.#camera, this.#size);
  }

  /** Shows another simulation, or none: nothing is left of the last one. */
  clear(): void {
    for (const frame of this.#playback.clear()) this.#events.onDone(frame);
    this.#layer.upload(null);
    this.#ground = null;
    this.#isPlaced = false;
    this.#isGroundDue = true;
    this.#isCountDue = true;
    this.#flight = null;
    this.#draw();
  }

  /** Marks a machine by its row, and follows it where asked to. */
  mark(row: number | null, isFollowed: boolean): void {
    this.#marked = row;
    this.#isFollowing = isFollowed && row !== null;
    this.#draw();
  }

  pick(px: number, py: number): Seen | null {
    const frame = this.#playback.shown;
    if (frame === null) return null;
    const [x, y] = toWorld(this.#camera, this.#size, px, py);
    const withinPx = Math.max(PICK_WITHIN_PX, this.#pointPx() / 2);
    return nearest(frame, this.#playback.progress(performance.now()), this.#look, x, y, withinPx / this.#camera.pxPerM);
  }

  machine(row: number): Seen | null {
    const frame = this.#playback.shown;
    return frame === null ? null : machineOf(frame, row, this.#playback.progress(performance.now()));
  }

  /** A machine that moves, another one each time. */
  busy(): Seen | null {
    const frame = this.#playback.shown;
    return frame === null ? null : moving(frame, this.#look, Math.random());
  }

  // The camera

  setCamera(camera: Camera): void {
    this.#isPlaced = true;
    this.#flight = null;
    this.#camera = camera;
    this.#moved();
  }

  pan(dx: number, dy: number): void {
    this.#endFollow();
    this.#place(panned(this.#camera, dx, dy));
  }

  zoom(factor: number, px = this.#size.width / 2, py = this.#size.height / 2): void {
    // Who follows a machine zooms around it.
    const [x, y] = this.#isFollowing ? [this.#size.width / 2, this.#size.height / 2] : [px, py];
    this.#place(zoomedAt(this.#camera, this.#size, factor, x, y));
  }

  #place(camera: Camera): void {
    this.#isPlaced = true;
    this.#flight = null;
    this.#camera = this.#ground === null ? camera : keptInside(camera, this.#ground.worldM);
    this.#moved();
  }

  fit(): void {
    this.#endFollow();
    if (this.#ground !== null) this.flyTo(this.#whole(this.#ground));
  }

  /** Shows a part of the world whole. */
  show(bounds: Bounds): void {
    this.#endFollow();
    this.flyTo(this.#fitted(bounds));
  }

  #whole(ground: Ground): Camera {
    return this.#fitted(ground.worldM);
  }

  #fitted(bounds: Bounds): Camera {
    return fitted(bounds, this.#size, this.#size.width >= WIDE_FROM_PX ? COVERED_WIDE : COVERED_NARROW);
  }

  flyTo(camera: Camera): void {
    this.#isPlaced = true;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.setCamera(camera);
    this.#flight = { from: this.#camera, to: camera, startedAtMs: performance.now() };
    this.#draw();
  }

  #endFollow(): void {
    if (!this.#isFollowing) return;
    this.#isFollowing = false;
    this.#events.onFollowEnded();
  }

  #moved(): void {
    this.#isGroundDue = true;
    this.#isCountDue = true;
    this.#events.onCamera(this.#camera, this.#size);
    this.#draw();
  }

  // Pictures

  /** Draws at the next chance of the screen; nothing is drawn where nothing changes. */
  #draw(): void {
    if (this.#request === 0 && !this.#isGone) this.#request = requestAnimationFrame(() => this.#picture());
  }

  #farthestPx(frame: MachineFrame): number {
    return frame.longestMoveM * this.#camera.pxPerM;
  }

  /** Draws when there will be something new to see: at once, or when something has moved by half a pixel. */
  #drawOn(now: number): void {
    const frame = this.#playback.shown;
    const waitMs = frame === null ? 0 : this.#playback.nextInMs(this.#farthestPx(frame) / SEEN_MOVE_PX, now);
    if (waitMs <= SCREEN_MS) return this.#draw();
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#draw(), waitMs - SCREEN_MS / 2);
  }

  #picture(): void {
    this.#request = 0;
    clearTimeout(this.#later);
    const now = performance.now();
    const done = this.#playback.poll(now);
    if (done !== null) {
      this.#show();
      this.#events.onDone(done);
    }
    const progress = this.#playback.progress(now);
    this.#fly(now);
    const marked = this.#marked === null ? null : this.machine(this.#marked);
    if (this.#isFollowing && marked !== null && (marked.xM !== this.#camera.x || marked.yM !== this.#camera.y)) {
      this.#camera = { ...this.#camera, x: marked.xM, y: marked.yM };
      this.#isGroundDue = true;
      this.#events.onCamera(this.#camera, this.#size);
    }
    if (this.#isGroundDue) this.#drawGround();
    const frame = this.#playback.shown;
    if (this.#isCountDue) {
      this.#drawn = frame === null ? 0 : countShown(frame, this.#look, visibleBounds(this.#camera, this.#size));
      this.#isCountDue = false;
    }
    this.#layer.draw(this.#camera, this.#size, this.#devicePx, this.#pointPx(), progress, this.#look);
    this.#tellMarked(marked);
    this.#events.onPicture({ tick: frame?.tick ?? null, drawn: this.#drawn, tookMs: performance.now() - now });
    if (this.#flight !== null) this.#draw();
    else if (this.#playback.isMoving(now)) this.#drawOn(now);
  }

  /** How large a machine is drawn: as if those in sight were spread evenly over the part of the world that is. */
  #pointPx(): number {
    const { pxPerM } = this.#camera;
    const areaM2 = overlapM2(visibleBounds(this.#camera, this.#size), this.#ground?.worldM);
    return pointPx(pxPerM, pxPerM * Math.sqrt(areaM2 / Math.max(this.#drawn, 1)));
  }

  #fly(now: number): void {
    if (this.#flight === null) return;
    const { from, to, startedAtMs } = this.#flight;
    const share = Math.min((now - startedAtMs) / FLIGHT_MS, 1);
    const eased = share * share * (3 - 2 * share);
    // Zoom changes by equal factors in equal times, and the place in step with it.
    const pxPerM = from.pxPerM * (to.pxPerM / from.pxPerM) ** eased;
    const apart = 1 / to.pxPerM - 1 / from.pxPerM;
    const way = Math.abs(apart) < 1e-9 * (1 / from.pxPerM) ? eased : (1 / pxPerM - 1 / from.pxPerM) / apart;
    this.#camera = { x: from.x + (to.x - from.x) * way, y: from.y + (to.y - from.y) * way, pxPerM };
    if (share >= 1) {
      this.#camera = to;
      this.#flight = null;
    }
    this.#isGroundDue = true;
    this.#isCountDue = true;
    this.#events.onCamera(this.#camera, this.#size);
  }

  #drawGround(): void {
    const context = this.#canvases.ground.getContext("2d");
    if (context === null || this.#colours === null) return;
    this.#isGroundDue = false;
    this.#queues = this.#queuesNow();
    context.setTransform(this.#devicePx, 0, 0, this.#devicePx, 0, 0);
    if (this.#ground === null) context.clearRect(0, 0, this.#size.width, this.#size.height);
    else drawGround(context, this.#ground, this.#camera, this.#size, this.#colours, this.#queues);
  }

  #tellMarked(seen: Seen | null): void {
    if (seen === null) return this.#events.onMarked(null);
    const [px, py] = toScreen(this.#camera, this.#size, seen.xM, seen.yM);
    const radiusPx = Math.max(this.#pointPx() / 2 + 5, 10);
    this.#events.onMarked({ px, py, radiusPx, seen });
  }
}
