/** The state of the connection, always on the page. */

import { useEffect, useState } from "preact/hooks";
import { retry } from "../store/farm";
import * as state from "../store/state";
import type { Phase } from "../stream/channel";

const NAMES: Record<Phase, string> = {
  connecting: "Connecting",
  open: "Live",
  waiting: "Disconnected",
  ended: "Closed",
  token: "Token wanted",
};

export function Connection() {
  const { why, retryAtMs } = state.status.value;
  const phase: Phase = state.isTokenNeeded.value ? "token" : state.status.value.phase;
  const isNone = state.place.value.simulation === null && phase !== "token";
  const isSilent = phase === "open" && state.unanswered.value !== null;
  const name = isSilent
    ? "No answer"
    : isNone
      ? state.listTrouble.value === null
        ? "Ready"
        : "Disconnected"
      : phase === "open" && !state.isRunning.value
        ? "Connected"
        : NAMES[phase];
  const look = isSilent ? "waiting" : isNone ? (state.listTrouble.value === null ? "open" : "waiting") : phase;
  return (
    <div class="connection">
      <span class={`dot dot-${look}`} aria-hidden="true" />
      <span role="status" aria-label="Connection" title={state.unanswered.value ?? why ?? undefined}>
        {name}
      </span>
      {retryAtMs !== null && phase === "waiting" && <Countdown atMs={retryAtMs} />}
    </div>
  );
}

function Countdown({ atMs }: { atMs: number }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <button type="button" class="link" onClick={retry}>
      Retry now <span class="number">({Math.max(Math.ceil((atMs - now) / 1000), 0)} s)</span>
    </button>
  );
}
