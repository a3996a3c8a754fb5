/** Commands: what is sent is what was meant, and what became of them is said of all machines. */

import type { VNode } from "preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Command } from "../src/api/client";
import { givenTo, outcomeOf } from "../src/panels/given_command";
import type { FarmEvent } from "../src/protocol/messages";
import type { Fleet } from "../src/stream/channel";
import { A, openPage, simulation } from "./page_fixture";

afterEach(() => vi.unstubAllGlobals());

/** Three machines of site 0, and two of site 1, which is 1000 m to the east. */
const FLEET = {
  machines: 5,
  sites: 2,
  siteOfRow: Uint32Array.from([0, 0, 0, 1, 1]),
  originsM: Float64Array.from([0, 0, 1000, -20]),
} as Fleet;
const HOLD = { command: "hold", args: {} } as Command;
const GOTO = { command: "goto", args: { x_m: 1010, y_m: 5 } } as Command;
const machine = { id: 4, row: 3, site: 1 };

describe("a command", () => {
  it("is for one machine, its site or all, and it is known how many they are", () => {
    expect(givenTo("machine", machine, HOLD, FLEET)).toEqual({ command: { command: "hold", entity: 4 }, machines: 1 });
    expect(givenTo("site", machine, HOLD, FLEET)).toEqual({ command: { command: "hold", site: 1 }, machines: 2 });
    expect(givenTo("all", machine, HOLD, FLEET)).toEqual({ command: { command: "hold", all: true }, machines: 5 });
  });
  it("for its site is given to nobody where the site is not known", () => {
    expect(givenTo("site", { id: 4, row: null, site: null }, HOLD, null)).toMatch(/not known yet/);
    expect(givenTo("site", { id: 4, row: 3, site: null }, HOLD, FLEET)).toMatchObject({ command: { site: 1 } });
    expect(givenTo("site", { id: 4, row: null, site: 1 }, HOLD, null)).toEqual({ command: { command: "hold", site: 1 }, machines: null });
  });
  it("to go to a place is sent in the frame of the site", () => {
    expect(givenTo("machine", machine, GOTO, FLEET)).toMatchObject({ command: { entity: 4, args: { x_m: 10, y_m: 25 } } });
    expect(givenTo("site", machine, GOTO, FLEET)).toMatchObject({ command: { site: 1, args: { x_m: 10, y_m: 25 } } });
  });
  it("to go to a place of the world is not sent as one of a site that is not known", () => {
    expect(givenTo("machine", { id: 4, row: null, site: null }, GOTO, FLEET)).toMatch(/not known yet/);
    expect(givenTo("machine", machine, GOTO, null)).toMatch(/not known yet/);
    expect(givenTo("all", machine, GOTO, FLEET)).toMatch(/one machine or one site/);
  });
});

describe("what became of it", () => {
  const event = (seq: number, kind: string, entities: number[], detail: Record<string, unknown>): FarmEvent => ({
    log: "sim",
    seq,
    tick: 9,
    kind,
    entities,
    detail,
  });
  it("is told site by site, and summed", () => {
    const events = [
      event(1, "command", [1, 2, 3], { command_seq: 7 }),
      event(2, "command", [9], { command_seq: 6 }),
      event(3, "command", [4, 5], { command_seq: 7 }),
      event(4, "command_rejected", [6], { command_seq: 7, reason: "faulted" }),
      event(5, "command_rejected", [8, 10], { command_seq: 7, reason: "faulted" }),
      event(6, "command_rejected", [11], { command_seq: 7, reason: "not_held" }),
      event(7, "fault", [12], {}),
    ];
    const { done, rejected } = outcomeOf(events, 7);
    expect(done).toBe(5);
    expect([...rejected]).toEqual([
      ["faulted", 3],
      ["not_held", 1],
    ]);
  });
  it("is nothing yet where nothing was told", () => expect(outcomeOf([], 7)).toEqual({ done: 0, rejected: new Map() }));
});

it("the form of one machine is not that of the next, nor of the same number in another simulation", async () => {
  const { state } = await openPage(`#sim=${A}`);
  const { Inspector } = await import("../src/panels/inspector");
  const keyOf = (id: number, of: string) => {
    state.place.value = { ...state.place.value, simulation: of };
    state.simulation.value = simulation(of);
    state.selected.value = { id, row: null, info: null, now: null, trouble: null };
    const children = (Inspector() as VNode<{ children: unknown[] }>).props.children as VNode[];
    const form = children.find((child) => typeof child === "object" && child?.props && "id" in child.props);
    expect(form?.key).toBeTruthy();
    return form?.key;
  };
  const keys = [keyOf(5, A), keyOf(700, A), keyOf(5, "another")];
  expect(new Set(keys).size).toBe(3);
});
