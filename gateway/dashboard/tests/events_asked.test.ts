/** Which events are asked for: of a large farm those of the run itself, of which every alert is. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { FarmEvent } from "../src/protocol/messages";
import { A, B, frame, hello, openPage, settled, simulation } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A page on which a simulation of so many machines is open; and what its view asks for. */
async function opened(entities: number) {
  const page = await openPage(`#sim=${A}`);
  page.farm.start();
  await settled();
  page.tell({ type: "hello", simulation: A, hello: hello(A, { simulation: simulation(A, { entities }) }), voided: null });
  page.farm.askView();
  const asked = () => page.said.flatMap((message) => (message.type === "open" || message.type === "view" ? [message.view.events] : []));
  return { ...page, asked };
}

it("as long as it is not known how large the farm is, those of the run", async () => {
  const { asked } = await opened(200);
  expect(asked()[0]).toBe("system");
  expect(asked().at(-1)).toBe("all");
});

it("of a large farm, those of the run, with every alert that there is", async () => {
  const { asked, state, tell } = await opened(25_000);
  expect(new Set(asked())).toEqual(new Set(["system"]));
  const lost: FarmEvent = { log: "system", seq: 1, tick: 1, kind: "system", detail: { event: "worker_lost", worker: 1, reason: "closed" } };
  tell({ type: "events", simulation: A, events: [lost], dropped: 0 });
  expect(state.alertList.list.map((alert) => alert.severity)).toEqual(["error"]);
});

it("once they were too many, or are not wanted, those of the run", async () => {
  const { asked, farm, tell } = await opened(200);
  tell({ type: "fewer_events", simulation: A });
  farm.askView();
  expect(asked().at(-1)).toBe("system");
  farm.setWantsAllEvents(true);
  expect(asked().at(-1)).toBe("all");
  farm.setWantsAllEvents(false);
  expect(asked().at(-1)).toBe("system");
});

describe("after a burst", () => {
  const burst = async () => {
    const page = await opened(200);
    const shown = async (tick: number) => page.tell({ type: "frame", simulation: A, frame: frame(tick) });
    const event = (seq: number, tick: number): FarmEvent => ({ log: "sim", seq, tick, kind: "fault", detail: {} });
    const tooMany = () => page.tell({ type: "fewer_events", simulation: A });
    return { ...page, shown, event, tooMany };
  };

  it("all are asked for again by themselves, and what is not there is marked between two ticks", async () => {
    const { asked, shown, event, tooMany, state, tell } = await burst();
    tell({ type: "events", simulation: A, events: [event(1, 1_000)], dropped: 0 });
    await shown(1_050);
    tooMany();
    expect(state.isBurst.value).toBe(true);
    expect(asked().at(-1)).toBe("system");
    await shown(2_000);
    await vi.advanceTimersByTimeAsync(15_000);
    expect([asked().at(-1), state.isBurst.value]).toEqual(["all", false]);
    expect(state.alertList.list.map((alert) => alert.key)).toEqual([]);
    tell({ type: "events", simulation: A, events: [event(900, 2_010)], dropped: 0 });
    expect(state.eventLog.events.map(({ kind, tick, detail }) => [kind, tick, detail["from_tick"]])).toEqual([
      ["fault", 1_000, undefined],
      ["gap", 2_000, 1_000],
      ["fault", 2_010, undefined],
    ]);
    const { told } = await import("../src/panels/events_panel");
    expect(told(state.eventLog.events[1] as FarmEvent)).toContain("not shown between ticks 1,000 and 2,000");
  });
  it("that comes at once again, they are asked for only after twice as long; after a calm one as at first", async () => {
    const { asked, tooMany } = await burst();
    tooMany();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(asked().at(-1)).toBe("all");
    tooMany();
    await vi.advanceTimersByTimeAsync(29_000);
    expect(asked().at(-1)).toBe("system");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked().at(-1)).toBe("all");
    await vi.advanceTimersByTimeAsync(125_000);
    tooMany();
    await vi.advanceTimersByTimeAsync(16_000);
    expect(asked().at(-1)).toBe("all");
  });
  it("they are asked for at once where somebody wants that, and not where somebody does not or leaves", async () => {
    const { asked, farm, tooMany, state } = await burst();
    tooMany();
    state.alertList.list[0]?.action?.run();
    expect(asked().at(-1)).toBe("all");
    tooMany();
    farm.setWantsAllEvents(false);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked().at(-1)).toBe("system");
  });
  it("nothing more is asked for of the farm that is opened next", async () => {
    const { asked, farm, tooMany, tell } = await burst();
    tooMany();
    void farm.open(B);
    tell({ type: "hello", simulation: B, hello: hello(B, { simulation: simulation(B, { entities: 25_000 }) }), voided: null });
    await vi.advanceTimersByTimeAsync(600_000);
    farm.askView();
    expect(asked().at(-1)).toBe("system");
  });
});

describe("what becomes void", () => {
  const voided = { fromTick: 1_500, fromEvent: 900, fromSystemEvent: 1 };
  const page = async () => {
    const page = await opened(200);
    return {
      ...page,
      /** All events are asked for at one tick, or none of machines from it on. */
      want: (wantsAll: boolean, tick: number) => {
        page.tell({ type: "frame", simulation: A, frame: frame(tick) });
        page.farm.setWantsAllEvents(wantsAll);
      },
      restart: () => page.tell({ type: "hello", simulation: A, hello: hello(A, { epoch: 2 }), voided }),
      gaps: () => page.state.eventLog.events.map(({ kind, tick, detail }) => [kind, detail["from_tick"], tick]),
    };
  };

  it("goes from a gap, so that one up to the same tick is marked again", async () => {
    const { want, restart, gaps } = await page();
    want(false, 1_000);
    want(true, 2_000);
    restart();
    expect(gaps()).toEqual([["gap", 1_000, 1_500]]);
    want(false, 1_800);
    want(true, 2_000);
    expect(gaps()).toEqual([
      ["gap", 1_000, 1_500],
      ["gap", 1_800, 2_000],
    ]);
  });
  it("takes a gap with it that is wholly in it, and leaves one of before as it is", async () => {
    const { want, restart, gaps } = await page();
    want(false, 1_000);
    want(true, 1_200);
    want(false, 1_500);
    want(true, 2_000);
    restart();
    expect(gaps()).toEqual([["gap", 1_000, 1_200]]);
  });
  it("happens anew unheard where events are not asked for: the gap begins where void begins", async () => {
    const { want, restart, gaps } = await page();
    want(false, 2_000);
    restart();
    want(true, 1_900);
    expect(gaps()).toEqual([["gap", 1_500, 1_900]]);
  });
  it("leaves an open gap that began before it where it began", async () => {
    const { want, restart, gaps } = await page();
    want(false, 1_000);
    restart();
    want(true, 1_900);
    expect(gaps()).toEqual([["gap", 1_000, 1_900]]);
  });
});

it("of a large farm, what was not asked for from the beginning is marked", async () => {
  const { farm, state, tell } = await opened(25_000);
  tell({ type: "frame", simulation: A, frame: frame(500) });
  farm.setWantsAllEvents(true);
  expect(state.eventLog.events).toMatchObject([{ kind: "gap", tick: 500, detail: { from_tick: 0 } }]);
});
