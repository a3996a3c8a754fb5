/** What the page shows stays that of the simulation that is open, whatever comes late. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Snapshot } from "../src/api/client";
import type { FarmEvent } from "../src/protocol/messages";
import type { Fleet } from "../src/stream/channel";
import type { Voided } from "../src/stream/session";
import { A, B, frame, hello, openPage, settled, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const VOIDED: Voided = { fromTick: 50, fromEvent: 1, fromSystemEvent: 1 };
const snapshot = (tick: number) => ({ tick, at: "2026-01-01T00:00:00Z", aggregates: {}, late_ticks: 0, achieved_speed: 1, stages: [] }) as unknown as Snapshot;

/** A page with simulation A open, its stream connected. */
async function opened() {
  const page = await openPage(`#sim=${A}`);
  page.farm.start();
  await settled();
  page.tell({ type: "status", simulation: A, status: { phase: "open", why: null, retryAtMs: null } });
  page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
  await settled();
  return page;
}

describe("an answer about a simulation that is not open any more", () => {
  it("to a poll changes nothing", async () => {
    const { farm, state, server } = await opened();
    await vi.advanceTimersByTimeAsync(1_000);
    const late = server.take(`GET /v1/simulations/${A}`);
    void farm.open(B);
    late.answer(200, simulation(A));
    await settled();
    expect(state.simulation.value?.id).not.toBe(A);
  });

  it("to a step of its run changes nothing", async () => {
    const page = await opened();
    const runs = await import("../src/store/runs");
    const done = runs.advance(A, "pause");
    void page.farm.open(B);
    page.tell({ type: "hello", simulation: B, hello: hello(B), voided: null });
    await page.server.answer(`POST /v1/simulations/${A}/pause`, simulation(A, { status: "paused" }));
    await done;
    expect(page.state.simulation.value?.id).toBe(B);
  });

  it("to a change of its speed changes nothing", async () => {
    const page = await opened();
    const runs = await import("../src/store/runs");
    const done = runs.setSpeed(A, 5);
    void page.farm.open(B);
    page.tell({ type: "hello", simulation: B, hello: hello(B), voided: null });
    await page.server.answer(`PATCH /v1/simulations/${A}`, simulation(A, { speed: 5 }));
    await done;
    expect(page.state.simulation.value?.id).toBe(B);
  });

  it("to what its machine is tells nothing of the other's machine of the same number", async () => {
    const { go, server, state } = await opened();
    await go(`#sim=${A}&machine=7`);
    const late = server.take(`GET /v1/simulations/${A}/entities/7`);
    await go(`#sim=${B}&machine=7`);
    late.answer(200, { id: 7, class: "of A", now: null });
    await settled();
    expect(state.selected.value).toMatchObject({ id: 7, info: null });
  });

  it("to what its classes are names none of the other's", async () => {
    const { farm, server, state, tell } = await opened();
    const fleet = { machines: 1, sites: 1, worldM: [0, 0, 1, 1], ids: new Uint32Array([1]), siteOfRow: new Uint32Array(1), originsM: new Float64Array(2) };
    tell({ type: "fleet", simulation: A, fleet: fleet as Fleet });
    const late = server.take("GET /v1/scenarios");
    void farm.open(B);
    late.answer(200, { items: [{ name: "farm", classes: ["tractor"] }], next_cursor: null });
    await settled();
    expect(state.classNames.value).toEqual([]);
    expect(state.classOfRow.value).toBeNull();
  });

  it("that its fields are not to be had raises no alert", async () => {
    const { farm, server, state } = await opened();
    const late = server.take(`GET /v1/simulations/${A}/world`);
    void farm.open(B);
    late.answer(500, {});
    await settled();
    expect(state.alertList.list).toEqual([]);
  });

  it("to a fork of it does not open the fork", async () => {
    const page = await opened();
    const runs = await import("../src/store/runs");
    const done = runs.fork(A);
    void page.farm.open(B);
    await page.server.answer(`POST /v1/simulations/${A}/fork`, simulation("01a215cd-94e3-7585-878a-df29cd130955"));
    // The list is asked for anew; it does not matter here what it says.
    for (const asked of page.server.open) if (asked.what.startsWith("GET /v1/simulations?")) asked.answer(500, {});
    await done;
    expect(page.state.place.value.simulation).toBe(B);
  });

  it("of its metrics fills no plot", async () => {
    const { farm, server } = await opened();
    const { timings } = await import("../src/store/timings");
    await vi.advanceTimersByTimeAsync(2_000);
    const late = server.take(`GET /v1/simulations/${A}/metrics`);
    void farm.open(B);
    late.answer(200, { items: [snapshot(900)], next_cursor: null });
    await settled();
    expect(timings.lastTick).toBeNull();
  });

  it("that its metrics are not to be had says nothing of another's", async () => {
    const { farm, server } = await opened();
    const { timingsTrouble } = await import("../src/store/timings");
    await vi.advanceTimersByTimeAsync(2_000);
    const late = server.take(`GET /v1/simulations/${A}/metrics`);
    void farm.open(B);
    late.answer(500, {});
    await settled();
    expect(timingsTrouble.value).toBeNull();
  });
});

describe("an answer about it still", () => {
  it("is shown", async () => {
    const { state, server } = await opened();
    const runs = await import("../src/store/runs");
    const done = runs.advance(A, "pause");
    await server.answer(`POST /v1/simulations/${A}/pause`, simulation(A, { status: "paused" }));
    await done;
    expect(state.simulation.value?.status).toBe("paused");
  });
  it("of its metrics fills the plots", async () => {
    const { server } = await opened();
    const { timings } = await import("../src/store/timings");
    await vi.advanceTimersByTimeAsync(2_000);
    await server.answer(`GET /v1/simulations/${A}/metrics`, { items: [snapshot(40), snapshot(60)], next_cursor: null });
    expect(timings.column("at_s")).toHaveLength(2);
  });
});

describe("what becomes void", () => {
  it("goes from the plots, and an answer of before does not bring it back", async () => {
    const page = await opened();
    const { timings } = await import("../src/store/timings");
    await vi.advanceTimersByTimeAsync(2_000);
    await page.server.answer(`GET /v1/simulations/${A}/metrics`, { items: [snapshot(40), snapshot(60)], next_cursor: null });
    await vi.advanceTimersByTimeAsync(2_000);
    const late = page.server.take(`GET /v1/simulations/${A}/metrics`);
    page.tell({ type: "hello", simulation: A, hello: hello(A, { epoch: 2 }), voided: VOIDED });
    expect(timings.lastTick).toBe(40);
    late.answer(200, { items: [snapshot(80)], next_cursor: null });
    await settled();
    expect(timings.lastTick).toBe(40);
  });

  it("goes from the plot of the machine that is looked at, which then goes on at once", async () => {
    const { state, tell } = await opened();
    for (const tick of [40, 49, 50, 60]) state.machineSeries.push(tick, [tick, 100, 1]);
    const samples = state.machineSamples.value;
    tell({ type: "hello", simulation: A, hello: hello(A, { epoch: 2 }), voided: VOIDED });
    expect(state.machineSeries.lastTick).toBe(49);
    expect(state.machineSamples.value).toBeGreaterThan(samples);
    // A sample of the void frame that is still shown, taken before the first frame comes.
    state.machineSeries.push(60, [60, 100, 1]);
    tell({ type: "frame", simulation: A, frame: frame(60) });
    tell({ type: "frame", simulation: A, frame: frame(51) });
    state.machineSeries.push(51, [51, 100, 1]);
    expect(state.machineSeries.lastTick).toBe(51);
  });
});

describe("the address, changed by hand", () => {
  it("without a simulation leaves the one that was open", async () => {
    const { go, said, state } = await opened();
    await go("");
    expect(said.at(-1)).toEqual({ type: "close" });
    expect(state.simulation.value).toBeNull();
    expect(state.place.value.simulation).toBeNull();
  });
  it("to another machine looks at that one, and to none at none", async () => {
    const { go, state, said } = await opened();
    const before = said.filter((message) => message.type === "open").length;
    await go(`#sim=${A}&machine=7&follow=1`);
    expect(state.selected.value?.id).toBe(7);
    expect(state.place.value).toMatchObject({ machine: 7, isFollowed: true });
    await go(`#sim=${A}`);
    expect(state.selected.value).toBeNull();
    expect(said.filter((message) => message.type === "open")).toHaveLength(before);
  });
  it("to another simulation opens that", async () => {
    const { go, said } = await opened();
    await go(`#sim=${B}&machine=3`);
    expect(said.filter((message) => message.type === "open").at(-1)).toMatchObject({ simulation: B });
  });
});

describe("a run without a worker", () => {
  it("is said to be one until a later tick is done, however fast it was a moment ago", async () => {
    const page = await opened();
    const isSaid = () => page.state.alertList.list.some((one) => one.key === "no_worker");
    const none = { kind: "system", log: "system", seq: 4, tick: 84, detail: { event: "no_worker" } } as unknown as FarmEvent;
    page.tell({ type: "events", simulation: A, events: [none], dropped: 0 });
    await vi.advanceTimersByTimeAsync(1_000);
    await page.server.answer(`GET /v1/simulations/${A}`, simulation(A, { tick: 84, achieved_speed: 0.5 }));
    expect(isSaid()).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    await page.server.answer(`GET /v1/simulations/${A}`, simulation(A, { tick: 90, achieved_speed: 0.1 }));
    expect(isSaid()).toBe(false);
  });
});

describe("where the fields are", () => {
  const LAYOUT = { bounds_m: [0, 0, 1, 1] };
  const layoutOf = (page: Awaited<ReturnType<typeof opened>>) => page.state.layout.value;
  const texts = (page: Awaited<ReturnType<typeof opened>>) => page.state.alertList.list.map((alert) => alert.text);

  it("is asked for again when a server that did not answer is back, and no alert says twice that it was away", async () => {
    const page = await openPage(`#sim=${A}`);
    page.farm.start();
    await settled();
    page.server.take(`GET /v1/simulations/${A}/world`).fail();
    await settled();
    expect(texts(page)).toEqual([]);
    page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
    await page.server.answer(`GET /v1/simulations/${A}/world`, { layout: LAYOUT });
    expect(layoutOf(page)).toEqual(LAYOUT);
  });

  it("is said to be missing where the server refuses it, until it is there", async () => {
    const page = await openPage(`#sim=${A}`);
    page.farm.start();
    await settled();
    await page.server.answer(`GET /v1/simulations/${A}/world`, { title: "Busy", detail: "later" }, 503);
    expect(texts(page)).toEqual(["The farm's fields cannot be shown. Busy: later."]);
    page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
    await page.server.answer(`GET /v1/simulations/${A}/world`, { layout: LAYOUT });
    expect(texts(page)).toEqual([]);
  });

  it("is asked for once where it is known", async () => {
    const page = await opened();
    await page.server.answer(`GET /v1/simulations/${A}/world`, { layout: LAYOUT });
    page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
    await settled();
    expect(() => page.server.take(`GET /v1/simulations/${A}/world`)).toThrow();
  });
});

describe("a run that is slower than asked", () => {
  const keys = (page: Awaited<ReturnType<typeof opened>>) => page.state.alertList.list.map((alert) => alert.key);
  const late: FarmEvent = { log: "system", seq: 1, tick: 1, kind: "system", detail: { event: "dilated", by_us: 1 } };

  /** The server says how fast it is, so many times. */
  async function says(page: Awaited<ReturnType<typeof opened>>, achieved_speed: number, times: number, more = {}) {
    for (let n = 0; n < times; n += 1) {
      await vi.advanceTimersByTimeAsync(1_000);
      await page.server.answer(`GET /v1/simulations/${A}`, simulation(A, { speed: 2, achieved_speed, tick: n, ...more }));
    }
  }

  it("is said after some seconds, once, for as long as it lasts", async () => {
    const page = await opened();
    await says(page, 1, 4);
    expect(keys(page)).toEqual([]);
    await says(page, 1, 60);
    expect(keys(page)).toEqual(["slow"]);
    expect(page.state.alertList.list[0]).toMatchObject({ count: 1 });
    await says(page, 1.9, 1);
    expect(keys(page)).toEqual([]);
  });

  it("is said once, whatever else says that it is late", async () => {
    const page = await opened();
    page.tell({ type: "events", simulation: A, events: [late], dropped: 0 });
    expect(keys(page)).toEqual(["dilated"]);
    await says(page, 1, 5);
    page.tell({ type: "events", simulation: A, events: [{ ...late, seq: 2 }], dropped: 0 });
    expect(keys(page)).toEqual(["slow"]);
  });

  it.each([
    ["is paused", { status: "paused" }],
    ["has no speed to keep", { speed: "max" }],
    ["replays its past", { replaying_to: 9 }],
  ])("is not slow where it %s", async (_, more) => {
    const page = await opened();
    await says(page, 0, 10, more);
    expect(keys(page)).toEqual([]);
  });
});

describe("a server behind which the run cannot be heard of", () => {
  /** It is asked for the run once a second. */
  async function says(page: Awaited<ReturnType<typeof opened>>, status: number, times: number) {
    const body = status === 200 ? simulation(A) : { title: "Orchestrator unavailable", detail: "It cannot be reached." };
    for (let n = 0; n < times; n += 1) {
      await vi.advanceTimersByTimeAsync(1_000);
      await page.server.answer(`GET /v1/simulations/${A}`, body, status);
    }
  }
  const keys = (page: Awaited<ReturnType<typeof opened>>) => page.state.alertList.list.map((alert) => alert.key);

  it("is said to be so after some seconds, once, until it is heard of again", async () => {
    const page = await opened();
    await says(page, 503, 2);
    expect([page.state.unanswered.value, keys(page)]).toEqual([null, []]);
    await says(page, 503, 9);
    expect(page.state.unanswered.value).toContain("It cannot be reached.");
    expect(page.state.alertList.list).toMatchObject([{ key: "unanswered", severity: "error", count: 1 }]);
    await says(page, 200, 1);
    expect([page.state.unanswered.value, keys(page)]).toEqual([null, []]);
  });
  it("says nothing more of it where another one is opened", async () => {
    const page = await opened();
    await says(page, 503, 4);
    void page.farm.open(B);
    expect([page.state.unanswered.value, keys(page)]).toEqual([null, []]);
  });
});
