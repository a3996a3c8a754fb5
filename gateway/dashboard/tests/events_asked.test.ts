/** Which events are asked for: of a large farm those of the run itself, of which every alert is. */

import { afterEach, expect, it, vi } from "vitest";
import type { FarmEvent } from "../src/protocol/messages";
import { A, hello, openPage, settled, simulation } from "./page_fixture";

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
