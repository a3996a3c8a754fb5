/** Alerts of the page: what raises them, what ends them, and that none is over before it could be seen. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { FarmEvent } from "../src/protocol/messages";
import { A, B, hello, openPage, settled, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function opened() {
  const page = await openPage(`#sim=${A}`);
  page.farm.start();
  await settled();
  page.tell({ type: "status", simulation: A, status: { phase: "open", why: null, retryAtMs: null } });
  page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
  await settled();
  let seq = 0;
  const happens = (kind: string, detail: Record<string, unknown>, tick = 1) => {
    const event: FarmEvent = { log: "system", seq: ++seq, tick, kind, detail };
    page.tell({ type: "events", simulation: A, events: [event], dropped: 0 });
  };
  const keys = () => page.state.alertList.list.map((alert) => alert.key);
  /** So many seconds go by, and the server answers. */
  const passes = async (seconds: number) => {
    for (let n = 0; n < seconds; n += 1) {
      await vi.advanceTimersByTimeAsync(1_000);
      for (const asked of page.server.open) if (asked.what === `GET /v1/simulations/${A}`) asked.answer(200, simulation(A, { tick: n }));
      page.server.open = page.server.open.filter((asked) => asked.what !== `GET /v1/simulations/${A}`);
      await settled();
    }
  };
  return { ...page, happens, keys, passes };
}

describe("that a run is not in order", () => {
  it("is said until it has another status", async () => {
    const { happens, keys } = await opened();
    happens("lifecycle", { status: "paused", cause: "history_full" });
    expect(keys()).toEqual(["lifecycle"]);
    happens("lifecycle", { status: "running", cause: "requested" });
    expect(keys()).toEqual([]);
  });
  it("is said until a hello says that it has another", async () => {
    const { happens, keys, tell } = await opened();
    happens("lifecycle", { status: "paused", cause: "history_full" });
    tell({ type: "hello", simulation: A, hello: hello(A, { simulation: simulation(A, { status: "paused", cause: "history_full" }) }), voided: null });
    expect(keys()).toEqual(["lifecycle"]);
    tell({ type: "hello", simulation: A, hello: hello(A, { simulation: simulation(A, { cause: "requested" }) }), voided: null });
    expect(keys()).toEqual([]);
  });
  it("is said of a second worker, though the first was dismissed", async () => {
    const { happens, keys } = await opened();
    const { dismiss } = await import("../src/store/page");
    happens("system", { event: "worker_lost", worker: 1, reason: "closed" });
    for (const key of keys()) dismiss(key);
    happens("system", { event: "worker_lost", worker: 2, reason: "closed" });
    expect(keys()).toHaveLength(1);
  });
  it("is said of late ticks by their share of those that were due", async () => {
    const { happens, keys } = await opened();
    happens("system", { event: "late", ticks: 1 }, 1000);
    expect(keys()).toEqual([]);
    happens("system", { event: "late", ticks: 10 }, 1010);
    expect(keys()).toEqual(["late"]);
  });
});

describe("messages that cannot be read", () => {
  it("are said when there are more of them, not as long as the page lives", async () => {
    const { state, tell } = await opened();
    const counted = (malformed: number) => tell({ type: "traffic", simulation: A, traffic: { bytes: 0, messages: 0, undrawn: 0, lagged: 0, malformed } });
    for (let n = 0; n < 5; n += 1) counted(1);
    expect(state.alertList.list).toMatchObject([{ key: "malformed", count: 1 }]);
    counted(2);
    expect(state.alertList.list).toMatchObject([{ key: "malformed", count: 2 }]);
  });
});

describe("an alert of a moment", () => {
  it("says when it happened, and goes by itself", async () => {
    const { tell, keys, passes, state } = await opened();
    const happenedMs = Date.now();
    tell({ type: "missing", simulation: A, log: "sim", fromSeq: 1, toSeq: 2 });
    expect(state.alertList.list[0]?.happenedMs).toBe(happenedMs);
    await passes(25);
    expect(keys()).toEqual([]);
  });
  it("waits for somebody to see it", async () => {
    const { tell, keys, hide, passes } = await opened();
    await hide(true);
    tell({ type: "missing", simulation: A, log: "sim", fromSeq: 1, toSeq: 2 });
    await vi.advanceTimersByTimeAsync(3_600_000);
    await hide(false);
    await passes(15);
    expect(keys()).toEqual(["missing"]);
    await passes(15);
    expect(keys()).toEqual([]);
  });
});

describe("an alert of a state", () => {
  it("stands as long as it is so", async () => {
    const { tell, keys, farm, passes } = await opened();
    tell({ type: "view", simulation: A, maxEntities: null, detail: "too many" });
    tell({ type: "fewer_events", simulation: A });
    await passes(10);
    expect(keys().sort()).toEqual(["fewer_events", "view"]);
    tell({ type: "view", simulation: A, maxEntities: 20_000, detail: "" });
    farm.setWantsAllEvents(true);
    expect(keys()).toEqual([]);
  });
});

describe("a server that was updated", () => {
  const answers = async (page: Awaited<ReturnType<typeof opened>>, version: string | null) => {
    await vi.advanceTimersByTimeAsync(1_000);
    page.server.take(`GET /v1/simulations/${A}`).answer(200, simulation(A), version === null ? {} : { "Autofarm-Version": version });
    await settled();
  };
  const [BEFORE, AFTER] = [`${__VERSION__}+1111111`, `${__VERSION__}+2222222`];

  it("is told by its answers, and said until the page is loaded anew", async () => {
    const page = await opened();
    await answers(page, BEFORE);
    await answers(page, BEFORE);
    expect(page.keys()).toEqual([]);
    for (let n = 0; n < 3; n += 1) await answers(page, AFTER);
    expect(page.state.alertList.list).toMatchObject([{ key: "version", count: 1, action: { label: "Reload" } }]);
    expect(page.state.alertList.list[0]?.text).toContain("The server was updated");
    await page.passes(60);
    void page.farm.open(B);
    expect(page.keys()).toEqual(["version"]);
  });
  it("loads the page anew where that is wanted", async () => {
    const page = await opened();
    const reload = vi.fn();
    Object.assign(location, { reload });
    await answers(page, BEFORE);
    await answers(page, AFTER);
    page.state.alertList.list[0]?.action?.run();
    expect(reload).toHaveBeenCalledOnce();
  });
  it("is told from one that does not say its version", async () => {
    const page = await opened();
    await answers(page, null);
    await answers(page, BEFORE);
    await answers(page, null);
    expect(page.keys()).toEqual([]);
  });
  it("is said at once where the page is of another version from the first", async () => {
    const page = await opened();
    await answers(page, "99.0.0+1111111");
    expect(page.keys()).toEqual(["version"]);
  });
});

describe("a page that is seen again", () => {
  it("asks at once for what it let grow old", async () => {
    const { hide, server } = await opened();
    await hide(true);
    const asked = () => server.open.filter(({ what }) => what === `GET /v1/simulations/${A}`).length;
    await vi.advanceTimersByTimeAsync(1_000);
    await server.answer(`GET /v1/simulations/${A}`, simulation(A));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked()).toBe(0);
    await hide(false);
    expect(asked()).toBe(1);
    await hide(true);
    await hide(false);
    expect(asked()).toBe(1);
  });
});
