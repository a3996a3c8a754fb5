/** Why nothing is shown, and what to do about it. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Simulation } from "../src/api/client";
import type { TickNow } from "../src/store/state";
import { A, B, openPage, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const ended = (status: string, cause: string) => simulation(A, { status, cause } as Partial<Simulation>);
const TICK = { tick: 7, simTimeS: 1, count: 3, machines: 3 } as TickNow;

/** A page on which simulation A is open and connected. */
async function opened() {
  const page = await openPage(`#sim=${A}`);
  const { said } = await import("../src/panels/notice");
  page.state.status.value = { phase: "open", why: null, retryAtMs: null };
  return { ...page, notice: said };
}

describe("a run that ended before it was opened", () => {
  it.each([
    ["stopped", "requested", "It is stopped: as requested."],
    ["completed", "last_tick", "It is completed: its last tick is done."],
    ["failed", "digest_mismatch", "It is failed: two workers computed different states"],
  ])("is said to be %s, not to be loading", async (status, cause, text) => {
    const { state, notice } = await opened();
    state.simulation.value = ended(status, cause);
    expect(notice()).toMatchObject({ title: "This run has ended", action: { label: "Fork" } });
    expect(notice()?.text).toContain(text);
  });

  it("is forked by its notice, and the copy opened", async () => {
    const { state, notice, server } = await opened();
    state.simulation.value = ended("stopped", "requested");
    notice()?.action?.run();
    await server.answer(`POST /v1/simulations/${A}/fork`, simulation(B, { status: "paused" }));
    await server.answer("GET /v1/simulations", { items: [simulation(B)], next_cursor: null });
    await server.answer("GET /v1/scenarios", { items: [], next_cursor: null });
    await server.answer("GET /v1/workers", { items: [], next_cursor: null });
    expect(state.place.value.simulation).toBe(B);
  });

  it("says why it could not be forked", async () => {
    const { state, notice, server } = await opened();
    state.simulation.value = ended("failed", "unrecoverable");
    notice()?.action?.run();
    await server.answer(`POST /v1/simulations/${A}/fork`, { title: "Conflict", detail: "nothing of it is held" }, 409);
    expect(state.alertList.list[0]).toMatchObject({ severity: "error" });
    expect(state.alertList.list[0]?.text).toContain("nothing of it is held");
  });

  it("has nothing to be said where its last machines are still shown", async () => {
    const { state, notice } = await opened();
    state.simulation.value = ended("stopped", "requested");
    state.tick.value = TICK;
    state.drawn.value = 3;
    expect(notice()).toBeNull();
  });
});

it("a run that has not told its first tick yet is loading", async () => {
  const { state, notice } = await opened();
  state.simulation.value = simulation(A);
  expect(notice()?.title).toBe("Loading");
});

describe("where the map cannot be drawn", () => {
  it("it is said all the same why there is nothing", async () => {
    const { state, notice } = await opened();
    state.noGraphics.value = "This browser has no WebGL2.";
    state.status.value = { phase: "waiting", why: "The server cannot be reached.", retryAtMs: 1 };
    expect(notice()?.title).toBe("Disconnected");
    state.status.value = { phase: "ended", why: "The simulation was deleted.", retryAtMs: null };
    expect(notice()?.title).toBe("This simulation is gone");
    state.status.value = { phase: "open", why: null, retryAtMs: null };
    state.simulation.value = simulation(A, { status: "paused", cause: "disk_full" } as Partial<Simulation>);
    state.tick.value = TICK;
    expect(notice()?.title).toBe("The run is paused");
    state.place.value = { ...state.place.value, simulation: null };
    state.simulations.value = [];
    expect(notice()?.title).toBe("No simulation yet");
  });
  it("nothing is said of what the map would show", async () => {
    const { state, notice } = await opened();
    state.noGraphics.value = "This browser has no WebGL2.";
    state.simulation.value = simulation(A);
    expect(notice()).toBeNull();
    state.tick.value = TICK;
    expect(notice()).toBeNull();
  });
});
