/** Pointer, wheel and touch on the map: drag pans, wheel and pinch zoom, a press that does not move is a click. */

/** A press that moves further than this is a drag, px. */
const CLICK_WITHIN_PX = 5;
/** Zoom of a wheel's notch of 100 px. */
const WHEEL_ZOOM = 1.0022;
/** A trackpad's pinch comes as a wheel with Ctrl and small steps. */
const PINCH_WHEEL_ZOOM = 1.01;
const LINE_PX = 16;

export interface GestureEvents {
  onPan(dx: number, dy: number): void;
  onZoom(factor: number, px: number, py: number): void;
  onClick(px: number, py: number): void;
  /** Where the pointer is; -1 where it is elsewhere. */
  onHover(px: number, py: number): void;
}

interface Finger {
  x: number;
  y: number;
}

export class Gestures {
  readonly #element: HTMLElement;
  readonly #events: GestureEvents;
  readonly #stop = new AbortController();
  readonly #fingers = new Map<number, Finger>();
  #movedPx = 0;

  constructor(element: HTMLElement, events: GestureEvents) {
    this.#element = element;
    this.#events = events;
    const { signal } = this.#stop;
    element.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    element.addEventListener("pointermove", (event) => this.#move(event), { signal });
    element.addEventListener("pointerup", (event) => this.#up(event, true), { signal });
    element.addEventListener("pointercancel", (event) => this.#up(event, false), { signal });
    element.addEventListener("pointerleave", () => this.#events.onHover(-1, -1), { signal });
    element.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
  }

  close(): void {
    this.#stop.abort();
  }

  #at(event: MouseEvent): Finger {
    const box = this.#element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return;
    if (this.#fingers.size === 0) this.#movedPx = 0;
    this.#fingers.set(event.pointerId, this.#at(event));
    this.#element.setPointerCapture(event.pointerId);
  }

  #move(event: PointerEvent): void {
    const at = this.#at(event);
    const before = this.#fingers.get(event.pointerId);
    if (before === undefined) {
      if (event.pointerType === "mouse") this.#events.onHover(at.x, at.y);
      return;
    }
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.#fingers.set(event.pointerId, at);
    this.#movedPx += Math.hypot(at.x - before.x, at.y - before.y);
    if (this.#movedPx < CLICK_WITHIN_PX) return;
    if (other === undefined) {
      this.#events.onPan(at.x - before.x, at.y - before.y);
      return;
    }
    // Two fingers: their middle pans, their distance zooms.
    const apartBefore = Math.max(Math.hypot(before.x - other.x, before.y - other.y), 1);
    const apart = Math.max(Math.hypot(at.x - other.x, at.y - other.y), 1);
    this.#events.onPan((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.#events.onZoom(apart / apartBefore, (at.x + other.x) / 2, (at.y + other.y) / 2);
  }

  #up(event: PointerEvent, isLifted: boolean): void {
    if (!this.#fingers.delete(event.pointerId)) return;
    const at = this.#at(event);
    if (isLifted && this.#fingers.size === 0 && this.#movedPx < CLICK_WITHIN_PX) this.#events.onClick(at.x, at.y);
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    const at = this.#at(event);
    const stepPx = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * LINE_PX;
    const factor = (event.ctrlKey ? PINCH_WHEEL_ZOOM : WHEEL_ZOOM) ** -stepPx;
    this.#events.onZoom(Math.min(Math.max(factor, 0.5), 2), at.x, at.y);
  }
}
