/** The bar on top: which simulation, its state and clock, what can be done with it, and the connection. */

import { useState } from "preact/hooks";
import type { Lifecycle } from "../api/client";
import { asProblem } from "../api/problem";
import { count, duration, factor, machines } from "../parts/format";
import { Icon, type IconName, Mark } from "../parts/icons";
import { isSlow } from "../store/occasions";
import { openList } from "../store/page";
import { advance, fork, step } from "../store/runs";
import * as state from "../store/state";
import { Connection } from "./connection";
import { Speed } from "./speed";

const STEPS: Record<Lifecycle, { label: string; icon: IconName }> = {
  start: { label: "Start", icon: "play" },
  resume: { label: "Resume", icon: "play" },
  pause: { label: "Pause", icon: "pause" },
  stop: { label: "Stop", icon: "stop" },
};

/** What may be done in which status. */
function stepsOf(status: string): Lifecycle[] {
  if (status === "created") return ["start"];
  if (status === "running") return ["pause"];
  if (status === "paused") return ["resume"];
  return [];
}

export function TopBar() {
  const simulation = state.simulation.value;
  const tick = state.tick.value;
  return (
    <header class="bar">
      <h1 class="unseen">AutoFarm</h1>
      <button type="button" class="brand" onClick={openList} aria-haspopup="dialog">
        <Mark />
        <span class="brand-text">
          <span class="unseen">Simulations: </span>
          <b>{simulation?.name ?? "AutoFarm"}</b>
          <small>{simulation === null ? "Choose a simulation" : `${machines(simulation.entities)} · ${simulation.scenario}`}</small>
        </span>
        <Icon name="chevron" />
      </button>
      {simulation !== null && (
        <>
          <span class={`pill status-${simulation.status}`} role="status" aria-label="Status of the simulation">
            {simulation.replaying_to === null ? simulation.status : "replaying"}
          </span>
          <Controls key={simulation.id} />
          <dl class="clock">
            <div>
              <dt>Simulated</dt>
              <dd>{duration(tick?.simTimeS ?? simulation.sim_time_s)}</dd>
            </div>
            <div>
              <dt>Tick</dt>
              <dd data-testid="tick">{count(tick?.tick ?? simulation.tick)}</dd>
            </div>
            <div title="Simulated over real time, over the last seconds">
              <dt>Achieved</dt>
              <dd class={isSlow(simulation) ? "is-slow" : undefined}>
                {factor(simulation.achieved_speed)}
                {isSlow(simulation) && <span class="unseen">, slower than asked</span>}
              </dd>
            </div>
          </dl>
        </>
      )}
      <Connection />
    </header>
  );
}

function Controls() {
  const simulation = state.simulation.value;
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [ticks, setTicks] = useState("20");
  if (simulation === null) return null;
  const { id, status } = simulation;

  const act = async (work: () => Promise<void>) => {
    setBusy(true);
    setTrouble(null);
    try {
      await work();
    } catch (error) {
      setTrouble(asProblem(error).sentence);
    }
    setBusy(false);
  };
  const isAlive = ["created", "running", "paused"].includes(status);
  return (
    <div class="controls" role="group" aria-label="Run">
      {stepsOf(status).map((next) => (
        <button key={next} type="button" class="button button-main" disabled={isBusy} onClick={() => act(() => advance(id, next))}>
          <Icon name={STEPS[next].icon} />
          {STEPS[next].label}
        </button>
      ))}
      {status === "paused" && (
        <form
          class="step"
          onSubmit={(event) => {
            event.preventDefault();
            void act(() => step(id, Number(ticks)));
          }}
        >
          <button type="submit" class="button" disabled={isBusy} title="Advance by so many ticks">
            <Icon name="step" />
            Step
          </button>
          <input
            class="input input-small"
            type="number"
            min="1"
            max="100000"
            aria-label="Ticks of a step"
            value={ticks}
            onInput={(event) => setTicks(event.currentTarget.value)}
          />
        </form>
      )}
      {isAlive && <Speed />}
      {(status === "running" || status === "paused") && <Stop isBusy={isBusy} onStop={() => act(() => advance(id, "stop"))} />}
      <button
        type="button"
        class="button button-quiet"
        disabled={isBusy || status === "created"}
        onClick={() => act(() => fork(id))}
        title="Fork: a paused copy with the same past"
        aria-label="Fork"
      >
        <Icon name="fork" />
        <span class="wide-only">Fork</span>
      </button>
      {trouble !== null && (
        <div class="trouble" role="alert">
          <span>{trouble}</span>
          <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => setTrouble(null)}>
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}

/** A run that is stopped cannot go on, so that it is asked for twice. */
function Stop({ isBusy, onStop }: { isBusy: boolean; onStop: () => void }) {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return (
      <button type="button" class="button button-quiet" disabled={isBusy} aria-label="Stop" title="Stop: it ends for good" onClick={() => setAsking(true)}>
        <Icon name="stop" />
        <span class="wide-only">Stop</span>
      </button>
    );
  }
  return (
    <span class="ask" role="group" aria-label="Stop for good?">
      <button type="button" class="button button-danger" disabled={isBusy} onClick={onStop}>
        Stop for good
      </button>
      <button type="button" class="button" onClick={() => setAsking(false)}>
        Keep
      </button>
    </span>
  );
}
