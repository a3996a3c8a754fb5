/** A simulation that is made by the form is opened, whether it starts or not. */

import { afterEach, expect, it, vi } from "vitest";
import { A, B, openPage, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function made(startStatus: number, start: unknown) {
  const page = await openPage();
  const runs = await import("../src/store/runs");
  const done = runs.create("{}", true);
  await page.server.answer("POST /v1/simulations", simulation(A, { status: "created" }), 201);
  await page.server.answer(`POST /v1/simulations/${A}/start`, start, startStatus);
  // Of two, a page that opens nothing by hand opens none.
  await page.server.answer("GET /v1/simulations", { items: [simulation(B), simulation(A)], next_cursor: null });
  await page.server.answer("GET /v1/scenarios", { items: [], next_cursor: null });
  await page.server.answer("GET /v1/workers", { items: [], next_cursor: null });
  await done;
  return page;
}

it("opens what was made and started", async () => {
  const { state } = await made(200, simulation(A));
  expect(state.place.value.simulation).toBe(A);
  expect(state.isListOpen.value).toBe(false);
  expect(state.alertList.list).toEqual([]);
});

it("opens what was made and did not start, and says why, so that nobody makes a second one", async () => {
  const { state } = await made(409, { title: "It cannot start now", detail: "there is no room for it" });
  expect(state.place.value.simulation).toBe(A);
  expect(state.isListOpen.value).toBe(false);
  expect(state.alertList.list).toMatchObject([{ severity: "error", text: expect.stringContaining("there is no room for it") }]);
});

it("opens nothing where nothing was made", async () => {
  const { server, state } = await openPage();
  const runs = await import("../src/store/runs");
  const done = expect(runs.create("{}", true)).rejects.toThrow("too many");
  await server.answer("POST /v1/simulations", { title: "No room", detail: "too many" }, 422);
  await done;
  expect(state.place.value.simulation).toBeNull();
});

it("sends the same key with each try of a change, a deletion too", async () => {
  const page = await openPage();
  const runs = await import("../src/store/runs");
  void runs.remove(A);
  const { key, answer } = page.server.take(`DELETE /v1/simulations/${A}`);
  expect(key).toMatch(/^[0-9a-f]{32}$/);
  answer(503, {});
  await vi.advanceTimersByTimeAsync(3_000);
  expect(page.server.take(`DELETE /v1/simulations/${A}`).key).toBe(key);
});
