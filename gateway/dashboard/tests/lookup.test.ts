/** What happened before the page was opened goes on without a gap into what happens live. */

import type { VNode } from "preact";
import { afterEach, expect, it, vi } from "vitest";
import type { FarmEvent } from "../src/protocol/messages";
import { A, hello, openPage, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A run at tick 3000 with 10 ticks a second; the server lists `perTick` faults of each tick, oldest first, 600 at once. */
async function listOf(perTick: number) {
  const { server, state } = await openPage(`#sim=${A}`);
  const { loadPast } = await import("../src/store/lookup");
  let isDone = false;
  const done = loadPast(hello(A, { simulation: simulation(A, { tick: 3000 }) })).then(() => {
    isDone = true;
  });
  const asked: number[] = [];
  while (!isDone && asked.length < 20) {
    const { what } = server.open[0] ?? { what: "" };
    const query = new URLSearchParams(what.split("?")[1]);
    const from = Number(query.get("from_tick"));
    asked.push(from);
    const all = Array.from({ length: (3000 - from + 1) * perTick }, (_, n) => {
      const tick = from + Math.floor(n / perTick);
      return { log: "sim", seq: (tick - 1) * perTick + (n % perTick) + 1, tick, kind: "fault", detail: {} };
    });
    const begin = Number(query.get("cursor") ?? 0);
    const next = begin + 600 < all.length ? String(begin + 600) : null;
    await server.answer(what.split("?")[0] as string, { items: all.slice(begin, begin + 600), next_cursor: next });
  }
  await done;
  return { asked, events: state.eventLog.events };
}

it("begins half a minute ago where that is not too much", async () => {
  const { asked, events } = await listOf(1);
  expect(asked).toEqual([2700]);
  expect(events[0]?.tick).toBe(2700);
  expect(events.at(-1)?.tick).toBe(3000);
});

it("begins later on a busy farm, and ends with the newest all the same", async () => {
  const { asked, events } = await listOf(20);
  expect(events.at(-1)).toMatchObject({ tick: 3000, seq: 60_000 });
  expect(events[0]?.tick).toBe(2980);
  expect(events).toHaveLength(420);
  expect(asked.length).toBeLessThanOrEqual(4);
});

it("begins with what comes live where even the last moment was too much", async () => {
  const { asked, events } = await listOf(200);
  expect(events).toEqual([]);
  expect(asked.length).toBeLessThanOrEqual(4);
});

it("gets what was not written yet in the last moment before, and puts it where it belongs", async () => {
  const { server, state } = await openPage(`#sim=${A}`);
  const { loadPast } = await import("../src/store/lookup");
  const event = (seq: number, tick: number) => ({ log: "sim", seq, tick, kind: "fault", detail: {} }) as FarmEvent;
  const done = loadPast(hello(A, { simulation: simulation(A, { tick: 3000 }), next_event: 10 }));
  await server.answer(`GET /v1/simulations/${A}/events`, { items: [event(6, 2960), event(7, 2970)], next_cursor: null });
  await done;
  state.eventLog.add([event(10, 3001)]);
  state.status.value = { phase: "open", why: null, retryAtMs: null };
  await vi.advanceTimersByTimeAsync(3_000);
  const asked = server.open[0]?.what ?? "";
  expect(Number(new URLSearchParams(asked.split("?")[1]).get("from_tick"))).toBeLessThanOrEqual(2970);
  await server.answer(`GET /v1/simulations/${A}/events`, { items: [event(7, 2970), event(8, 2999), event(9, 3000), event(10, 3001)], next_cursor: null });
  expect(state.eventLog.events.map(({ seq }) => seq)).toEqual([6, 7, 8, 9, 10]);
});

it("asks nothing more about what is gone meanwhile", async () => {
  const { server, state } = await openPage(`#sim=${A}`);
  const { loadPast } = await import("../src/store/lookup");
  const done = loadPast(hello(A, { simulation: simulation(A, { tick: 3000 }) }));
  await server.answer(`GET /v1/simulations/${A}/events`, { items: [], next_cursor: null });
  await done;
  state.status.value = { phase: "ended", why: "The simulation was deleted.", retryAtMs: null };
  await vi.advanceTimersByTimeAsync(10_000);
  expect(server.open).toEqual([]);
});

it("an event promises to show what it can: the machine as it is now, or its site", async () => {
  await openPage(`#sim=${A}`);
  const { EventRow } = await import("../src/panels/events_panel");
  const titleOf = (more: Partial<FarmEvent>) => {
    const row = EventRow({ event: { log: "sim", seq: 1, tick: 1, kind: "fault", detail: {}, ...more } }) as VNode<{ title?: string }>;
    return row.props.title;
  };
  expect(titleOf({ site: 3, entities: [7, 8] })).toBe("Show machine #7 where it is now");
  expect(titleOf({ site: 3 })).toBe("Show its site");
  expect(titleOf({})).toBeUndefined();
});
