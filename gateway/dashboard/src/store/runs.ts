/** What is done with a run by hand. Each ends when the server has answered, or throws a `Problem`; what it answers is shown. */

import type { Lifecycle } from "../api/client";
import { asProblem } from "../api/problem";
import { leave, open, refreshList } from "./farm";
import { alert, api, showSimulation } from "./page";
import * as state from "./state";

export async function advance(id: string, step: Lifecycle): Promise<void> {
  showSimulation(await api.lifecycle(id, step));
}

/** Advances a paused run by so many ticks. */
export async function step(id: string, ticks: number): Promise<void> {
  showSimulation(await api.step(id, ticks));
}

export async function setSpeed(id: string, speed: number | "max"): Promise<void> {
  showSimulation(await api.change(id, { speed }));
}

/** Makes a paused copy, and opens it unless something else was opened meanwhile. */
export async function fork(id: string): Promise<void> {
  const made = await api.fork(id, {});
  await refreshList();
  if (state.place.value.simulation === id) void open(made.id);
}

/**
 * Makes a simulation, starts it where that is wanted, and opens it. One that was made and did not start is opened too, with
 * an alert: whoever still saw the form would make a second one with it.
 */
export async function create(body: string, isStarted: boolean): Promise<void> {
  const made = await api.create(body);
  let trouble: string | null = null;
  if (isStarted) {
    await api.lifecycle(made.id, "start").catch((error) => {
      trouble = asProblem(error).sentence;
    });
  }
  await refreshList();
  void open(made.id);
  // Only now, for alerts of the simulation before go when another is opened.
  if (trouble !== null) alert("start", `The simulation is made, but it did not start. ${trouble}`, "error");
}

/** Deletes a simulation, and leaves it where it is open. */
export async function remove(id: string): Promise<void> {
  await api.remove(id);
  if (state.place.value.simulation === id) leave();
  await refreshList();
}
