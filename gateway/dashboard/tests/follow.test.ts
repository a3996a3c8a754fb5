/** A machine that is followed is found again, wherever it went while nobody looked. */

import { afterEach, expect, it, vi } from "vitest";
import type { Camera } from "../src/map/camera";
import type { FarmMap } from "../src/map/farm_map";
import type { Seen } from "../src/map/picking";
import type { Fleet } from "../src/stream/channel";
import { A, hello, openPage, settled } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A map that has the machines of `seen` in its frame, and goes at once where it is told to. */
class FakeMap {
  camera: Camera = { x: 0, y: 0, pxPerM: 9 };
  size = { width: 800, height: 600 };
  seen: Seen | null = null;
  went: Camera[] = [];
  machine = () => this.seen;
  setCamera = (camera: Camera) => {
    this.camera = camera;
  };
  flyTo = (camera: Camera) => {
    this.went.push(camera);
    this.camera = camera;
  };
  clear = () => {};
}

const FLEET = {
  machines: 10,
  sites: 1,
  worldM: [-500, -500, 500, 500],
  ids: Uint32Array.from({ length: 10 }, (_, row) => row + 1),
  siteOfRow: new Uint32Array(10),
  originsM: new Float64Array(2),
} as Fleet;
const at = (x: number, y: number) => ({ id: 5, class: "tractor", site: 0, now: { x, y, heading: 0, speed: 1, battery: 50, state: "working" } });

async function opened(hash: string) {
  const page = await openPage(`#sim=${A}${hash}`);
  const map = new FakeMap();
  page.farm.handleMap(map as unknown as FarmMap);
  page.farm.start();
  await settled();
  page.tell({ type: "status", simulation: A, status: { phase: "open", why: null, retryAtMs: null } });
  page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
  page.tell({ type: "fleet", simulation: A, fleet: FLEET });
  await settled();
  return { ...page, map };
}

it("by a link whose place is an old one, as soon as the farm is known", async () => {
  const { map, server } = await opened("&x=5000&y=5000&z=9&machine=5&follow=1");
  expect(map.camera).toMatchObject({ x: 5000, y: 5000 });
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(-214, -386));
  expect(map.camera).toEqual({ x: -214, y: -386, pxPerM: 9 });
});

it("after it left what the stream tells of", async () => {
  const { map, server } = await opened("&machine=5&follow=1");
  map.seen = { row: 4, xM: 10, yM: 0, headingTurns: 0, speedMPerS: 1, charge: 0.5, state: 2 } as Seen;
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(10, 0));
  const before = map.went.length;
  await vi.advanceTimersByTimeAsync(2_000);
  await server.answer(`GET /v1/simulations/${A}`, hello(A).simulation);
  expect(map.went).toHaveLength(before);
  map.seen = null;
  await vi.advanceTimersByTimeAsync(2_000);
  await server.answer(`GET /v1/simulations/${A}`, hello(A).simulation);
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(310, 20));
  expect(map.went.at(-1)).toEqual({ x: 310, y: 20, pxPerM: 9 });
});

it("but for one that is only looked at, or let go meanwhile", async () => {
  const { map, server, state } = await opened("&machine=5");
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(310, 20));
  state.place.value = { ...state.place.value, isFollowed: true };
  await vi.advanceTimersByTimeAsync(1_000);
  await server.answer(`GET /v1/simulations/${A}`, hello(A).simulation);
  const late = server.take(`GET /v1/simulations/${A}/entities/5`);
  state.place.value = { ...state.place.value, isFollowed: false };
  late.answer(200, at(320, 20));
  await settled();
  expect(map.went).toEqual([]);
});

it("from near, by who looked at it from afar, and is let go where the map is", async () => {
  const { map, server, state } = await opened("&machine=5");
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(310, 20));
  map.camera = { x: 0, y: 0, pxPerM: 0.4 };
  const { toggleFollow } = await import("../src/store/selection");
  toggleFollow();
  expect(state.place.value.isFollowed).toBe(true);
  await server.answer(`GET /v1/simulations/${A}/entities/5`, at(311, 20));
  expect(map.went.at(-1)).toEqual({ x: 311, y: 20, pxPerM: 9 });
  const went = map.went.length;
  toggleFollow();
  await settled();
  expect(state.place.value.isFollowed).toBe(false);
  expect(map.went).toHaveLength(went);
});
