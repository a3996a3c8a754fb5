/** Lists that are longer than a page: nothing is missing, the newest first, and what nobody looks at is seldom asked for. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Simulation } from "../src/api/client";
import { listed } from "../src/panels/listed";
import { A, openPage, settled, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const nothing = { items: [], next_cursor: null };

it("a list of more than a page is whole", async () => {
  const { farm, state, server } = await openPage();
  farm.start();
  await settled();
  await server.answer("GET /v1/simulations", { items: [simulation("first"), simulation("second")], next_cursor: "there" });
  expect(server.open.map(({ what }) => what)).toEqual(["GET /v1/simulations?limit=1000&cursor=there"]);
  await server.answer("GET /v1/simulations", { items: [simulation("just made")], next_cursor: null });
  expect(state.simulations.value?.map(({ id }) => id)).toEqual(["first", "second", "just made"]);
  await server.answer("GET /v1/scenarios", nothing);
  await server.answer("GET /v1/workers", { items: [{ id: 1 }], next_cursor: "there" });
  await server.answer("GET /v1/workers", { items: [{ id: 2 }], next_cursor: null });
  expect(state.workers.value).toHaveLength(2);
});

it("a list that nobody looks at is seldom asked for, and at once when somebody does", async () => {
  const { farm, state, server } = await openPage(`#sim=${A}`);
  farm.start();
  await settled();
  let lists = 0;
  /** So many seconds go by, and the server answers. */
  const passes = async (seconds: number) => {
    for (let s = 0; s <= seconds; s += 1) {
      for (const asked of server.open.splice(0)) {
        const path = asked.what.split("?")[0];
        if (path === "GET /v1/simulations") lists += 1;
        asked.answer(200, path === `GET /v1/simulations/${A}` ? simulation(A) : nothing);
        await settled();
      }
      await vi.advanceTimersByTimeAsync(1_000);
    }
  };
  await passes(30);
  const before = lists;
  await passes(60);
  expect(lists - before).toBeLessThanOrEqual(3);
  expect(lists - before).toBeGreaterThanOrEqual(1);
  state.isListOpen.value = true;
  await settled();
  expect(server.open.some(({ what }) => what.startsWith("GET /v1/simulations?"))).toBe(true);
  const seen = lists;
  await passes(15);
  expect(lists - seen).toBeGreaterThanOrEqual(3);
});

describe("what is shown of a list", () => {
  const all = Array.from({ length: 250 }, (_, n) => simulation(String(n), { status: n % 2 === 0 ? "running" : "stopped" } as Partial<Simulation>));
  it("is the newest, the newest first, and it is said how many more there are", () => {
    const { shown, more } = listed(all, "", 100);
    expect([shown.length, shown[0]?.id, shown.at(-1)?.id, more]).toEqual([100, "249", "150", 150]);
  });
  it("is of one status where that is wanted", () => {
    const { shown, more } = listed(all, "stopped", 200);
    expect([shown.length, shown[0]?.id, more]).toEqual([125, "249", 0]);
    expect(listed(all, "failed", 200)).toEqual({ shown: [], more: 0 });
  });
});
