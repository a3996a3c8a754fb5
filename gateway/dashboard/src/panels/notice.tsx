/** When nothing is shown: why, and what to do. */

import { asProblem } from "../api/problem";
import { capital, count, words } from "../parts/format";
import { Icon } from "../parts/icons";
import { leave, retry } from "../store/farm";
import { CAUSES } from "../store/occasions";
import { alert, askToken, openList } from "../store/page";
import { fork } from "../store/runs";
import * as state from "../store/state";

interface Said {
  title: string;
  text: string;
  action?: { label: string; run: () => void };
}

function leaveAndChoose(): void {
  leave();
  openList();
}

/** Whoever has ended has no tick to tell: nothing is waited for. */
const ENDED = ["stopped", "completed", "failed"];

function forkOpen(id: string): void {
  fork(id).catch((error) => alert("fork", `No copy was made. ${asProblem(error).sentence}`, "error"));
}

/** What there is to say over the map; null where machines are shown as they should be. */
export function said(): Said | null {
  const { simulation: id } = state.place.value;
  const { phase, why } = state.status.value;
  if (state.isTokenNeeded.value) {
    const text = state.hasToken.value ? "The server does not take the token that this page has." : "The server answers only those who have one.";
    return { title: "A token is needed", text, action: { label: "Enter a token", run: askToken } };
  }
  if (id === null) {
    const trouble = state.listTrouble.value;
    if (trouble !== null) return { title: "The server does not answer", text: `${trouble} This page tries again by itself.` };
    if (state.simulations.value === null) return { title: "Loading", text: "Asking the server for its simulations." };
    if (state.simulations.value.length === 0) {
      return { title: "No simulation yet", text: "Create one to see machines at work.", action: { label: "Create a simulation", run: openList } };
    }
    return { title: "No simulation is open", text: "Choose one of the list.", action: { label: "Simulations", run: openList } };
  }
  if (phase === "ended") {
    return { title: "This simulation is gone", text: why ?? "Its stream has ended.", action: { label: "Choose another", run: leaveAndChoose } };
  }
  if (phase === "waiting") {
    const shown = state.tick.value === null ? "It is shown" : "What is shown is the last that was seen; it goes on";
    return {
      title: "Disconnected",
      text: `${why ?? ""} ${shown} as soon as the server is back.`,
      action: { label: "Retry now", run: retry },
    };
  }
  const tick = state.tick.value;
  const { status = "created", cause: given = null } = state.simulation.value ?? {};
  const cause = given ?? "requested";
  if (tick === null && ENDED.includes(status)) {
    return {
      title: "This run has ended",
      text: `It is ${status}: ${CAUSES[cause] ?? words(cause)}. Its machines are not held any more; Fork makes a paused copy that shows them.`,
      action: { label: "Fork", run: () => forkOpen(id) },
    };
  }
  // What is said from here on is of the map; where none can be drawn, it has been said already why.
  const isDrawn = state.noGraphics.value === null;
  if (isDrawn && tick === null) return { title: "Loading", text: "Waiting for the newest tick." };
  if (isDrawn && status === "created") return { title: "Ready to start", text: "Its machines stand where they begin. Press Start." };
  if (isDrawn && tick !== null && state.drawn.value === 0) return nothingInView(tick.count);
  if ((status === "paused" || status === "failed") && cause !== "requested") {
    return { title: `The run is ${status}`, text: `${capital(CAUSES[cause] ?? words(cause))}.` };
  }
  return null;
}

function nothingInView(inMessage: number): Said | null {
  const { hiddenStates, hiddenClasses } = state.place.value;
  if ((hiddenStates !== 0 || hiddenClasses !== 0) && inMessage > 0) {
    return { title: "All machines here are filtered out", text: "Show more states in the legend." };
  }
  return { title: "No machine in this part of the farm", text: "Zoom out, or press 0 to show everything." };
}

export function Notice() {
  const notice = said();
  if (notice === null) return null;
  const isWhole = state.tick.value === null && state.noGraphics.value === null;
  return (
    <div class={isWhole ? "notice" : "notice notice-low"} role="status">
      <div>
        <h2>{notice.title}</h2>
        <p>{notice.text}</p>
      </div>
      {notice.action !== undefined && (
        <button type="button" class="button button-main" onClick={notice.action.run}>
          {notice.action.label}
        </button>
      )}
    </div>
  );
}

/** A line under the legend where not every machine is shown. */
export function SampleNote() {
  const tick = state.tick.value;
  if (tick === null || !tick.isSample) return null;
  return (
    <p class="note">
      <Icon name="eye" /> An even sample of {count(tick.count)}; zoom in to see every machine.
    </p>
  );
}
