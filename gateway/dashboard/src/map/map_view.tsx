/** The map in the page: canvases, marks over them, buttons and keys. */

import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { count, machines } from "../parts/format";
import { Icon } from "../parts/icons";
import { stateName } from "../protocol/states";
import * as farm from "../store/farm";
import { changePlace } from "../store/page";
import { select, toggleFollow, visit } from "../store/selection";
import * as state from "../store/state";
import { scaleLength } from "./camera";
import { FarmMap } from "./farm_map";
import type { GroundColours } from "./ground";
import { NoGraphics } from "./machines_layer";
import { rgb } from "./palette";

const ZOOM_STEP = 1.5;
const PAN_STEP_PX = 80;
const SCALE_BAR_PX = 120;
/** Rates of pictures are measured over so long, ms. */
const RATE_WINDOW_MS = 1_000;

export function MapView() {
  const ground = useRef<HTMLCanvasElement>(null);
  const dots = useRef<HTMLCanvasElement>(null);
  const marker = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const shown = useRef<FarmMap | null>(null);

  useEffect(() => {
    if (ground.current === null || dots.current === null) return;
    const canvas = dots.current;
    const rate = new PictureRate();
    let map: FarmMap;
    try {
      map = new FarmMap(
        { ground: ground.current, machines: canvas },
        {
          onCamera: (camera, size) => {
            drawScale(camera.pxPerM);
            farm.handleCamera(camera, size);
          },
          onPicture: (picture) => {
            rate.add(picture.tookMs);
            canvas.dataset["frame"] = String(picture.tick ?? "");
            canvas.dataset["drawn"] = String(picture.drawn);
            state.drawn.value = picture.drawn;
          },
          onPick: (seen) => {
            const id = seen === null ? undefined : state.fleet.value?.ids[seen.row];
            select(id ?? null);
          },
          onHover: (seen, px, py) => hover(tip.current, canvas, seen, px, py),
          onDone: farm.recycle,
          onMarked: (mark) => place(marker.current, mark),
          onFollowEnded: () => changePlace({ isFollowed: false }),
        },
      );
    } catch (error) {
      if (!(error instanceof NoGraphics)) throw error;
      state.noGraphics.value = error.message;
      changePlace({ tab: "machines" });
      return;
    }
    shown.current = map;
    farm.handleMap(map);
    const stops = [
      effect(() => {
        const fleet = state.fleet.value;
        const layout = state.layout.value;
        map.setGround(fleet === null ? null : { worldM: fleet.worldM, layout, originsM: fleet.originsM });
      }),
      effect(() => {
        const { colourBy, hiddenStates, hiddenClasses } = state.place.value;
        map.setLook({ colourBy, states: ~hiddenStates, classes: ~hiddenClasses });
      }),
      effect(() => map.setColours(groundColours(), rgb(property("--map-outline")), state.theme.value)),
      effect(() => map.mark(state.selected.value?.row ?? null, state.place.value.isFollowed)),
    ];
    return () => {
      for (const stop of stops) stop();
      farm.handleMap(null);
      rate.close();
      map.close();
    };
  }, []);

  const isOpen = state.place.value.simulation !== null && state.fleet.value !== null;
  const trouble = state.noGraphics.value;
  // The scale was not there yet when the camera was placed.
  useEffect(() => {
    if (isOpen && shown.current !== null) drawScale(shown.current.camera.pxPerM);
  }, [isOpen]);
  return (
    <>
      <div
        class="canvases"
        role="application"
        aria-label="Map of the farm. Arrow keys pan, plus and minus zoom, zero shows everything, F follows the machine, Escape lets it go."
        tabIndex={isOpen && trouble === null ? 0 : -1}
        onKeyDown={(event) => shown.current !== null && handleKey(event, shown.current)}
      >
        <canvas ref={ground} class="layer" aria-hidden="true" />
        <canvas ref={dots} class="layer layer-machines" role="img" aria-label={described()} data-testid="machines" />
        <div ref={marker} class="marker" hidden />
        <div ref={tip} class="tip" hidden />
      </div>
      {trouble !== null && (
        <div class="notice" role="status">
          <h2>The map cannot be drawn</h2>
          <p>{trouble} The machines are in the table; switch hardware acceleration on, or take a newer browser, to see them on the farm.</p>
        </div>
      )}
      {isOpen && trouble === null && (
        <div class="float float-low">
          <div class="buttons">
            <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => shown.current?.zoom(ZOOM_STEP)}>
              <Icon name="plus" />
            </button>
            <button type="button" title="Zoom out (−)" aria-label="Zoom out" onClick={() => shown.current?.zoom(1 / ZOOM_STEP)}>
              <Icon name="minus" />
            </button>
            <button type="button" title="Show everything (0)" aria-label="Show everything" onClick={() => shown.current?.fit()}>
              <Icon name="fit" />
            </button>
            <button type="button" title="Visit a machine at work" aria-label="Visit a machine" onClick={visit}>
              <Icon name="eye" />
            </button>
          </div>
          <div class="scale" aria-hidden="true">
            {sample() > 1 && <span class="narrow-only">1 in {count(sample())} drawn</span>}
            <span id="scale-text" />
            <i id="scale-bar" />
          </div>
          {state.selected.value === null && (
            <p class="hint">
              Click a machine, or{" "}
              <button type="button" class="link" onClick={visit}>
                follow one at work
              </button>
            </p>
          )}
        </div>
      )}
    </>
  );
}

/** How many machines each that is drawn stands for. */
function sample(): number {
  const tick = state.tick.value;
  if (tick === null || tick.count === 0 || !tick.isSample) return 1;
  return Math.round(tick.machines / tick.count);
}

function described(): string {
  const simulation = state.simulation.value;
  if (simulation === null) return "No farm is shown.";
  return `${machines(state.drawn.value)} of ${simulation.name} on the farm`;
}

function handleKey(event: KeyboardEvent, map: FarmMap): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? PAN_STEP_PX * 3 : PAN_STEP_PX;
  switch (event.key) {
    case "ArrowLeft":
      map.pan(step, 0);
      break;
    case "ArrowRight":
      map.pan(-step, 0);
      break;
    case "ArrowUp":
      map.pan(0, step);
      break;
    case "ArrowDown":
      map.pan(0, -step);
      break;
    case "+":
    case "=":
      map.zoom(ZOOM_STEP);
      break;
    case "-":
      map.zoom(1 / ZOOM_STEP);
      break;
    case "0":
      map.fit();
      break;
    case "Enter": {
      // Whatever stands nearest to the middle.
      const seen = map.pick(map.size.width / 2, map.size.height / 2);
      const id = seen === null ? undefined : state.fleet.value?.ids[seen.row];
      if (id !== undefined) select(id);
      break;
    }
    case "f":
      toggleFollow();
      break;
    case "Escape":
      select(null);
      break;
    default:
      return;
  }
  event.preventDefault();
}

type Mark = Parameters<ConstructorParameters<typeof FarmMap>[1]["onMarked"]>[0];

/** Moves the ring to the marked machine: by a transform, so that the page need not be laid out anew. */
function place(marker: HTMLDivElement | null, mark: Mark): void {
  if (marker === null) return;
  marker.hidden = mark === null;
  if (mark === null) return;
  marker.style.transform = `translate(${mark.px}px, ${mark.py}px)`;
  marker.style.setProperty("--radius", `${mark.radiusPx}px`);
}

function hover(
  tip: HTMLDivElement | null,
  canvas: HTMLCanvasElement,
  seen: { row: number; state: number; charge: number } | null,
  px: number,
  py: number,
): void {
  if (tip === null) return;
  const id = seen === null ? undefined : state.fleet.value?.ids[seen.row];
  tip.hidden = id === undefined;
  canvas.classList.toggle("is-pointing", id !== undefined);
  if (id === undefined || seen === null) return;
  tip.textContent = `#${id} · ${stateName(seen.state)} · ${Math.round(seen.charge * 100)} %`;
  tip.style.transform = `translate(${px + 14}px, ${py + 14}px)`;
}

function drawScale(pxPerM: number): void {
  const text = document.getElementById("scale-text");
  const bar = document.getElementById("scale-bar");
  if (text === null || bar === null) return;
  const length = scaleLength(pxPerM, SCALE_BAR_PX);
  text.textContent = length >= 1000 ? `${length / 1000} km` : length >= 1 ? `${length} m` : `${Math.round(length * 100)} cm`;
  bar.style.width = `${length * pxPerM}px`;
}

function property(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function groundColours(): GroundColours {
  return {
    site: property("--map-site"),
    field: property("--map-field"),
    row: property("--map-row"),
    headland: property("--map-headland"),
    yard: property("--map-yard"),
    station: property("--map-station"),
    parking: property("--map-parking"),
    queue: state.stateColours.value.queueing,
    queueText: property("--text"),
    label: property("--map-label"),
  };
}

/** Pictures and bytes a second, told once a second. */
class PictureRate {
  #pictures = 0;
  #tookMs = 0;
  #bytes = 0;
  #sinceMs = performance.now();
  readonly #timer = setInterval(() => this.#tell(), RATE_WINDOW_MS);

  add(tookMs: number): void {
    this.#pictures += 1;
    this.#tookMs += tookMs;
  }

  #tell(): void {
    const now = performance.now();
    const seconds = (now - this.#sinceMs) / 1000;
    const { bytes } = state.traffic.value;
    state.rates.value = {
      bytesPerS: Math.max(bytes - this.#bytes, 0) / seconds,
      picturesPerS: this.#pictures / seconds,
      pictureMs: this.#pictures === 0 ? Number.NaN : this.#tookMs / this.#pictures,
    };
    this.#bytes = bytes;
    this.#pictures = 0;
    this.#tookMs = 0;
    this.#sinceMs = now;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
