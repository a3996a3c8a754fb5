/** All simulations, to be opened, deleted, and created. */

import { useState } from "preact/hooks";
import { asProblem } from "../api/problem";
import { count, duration, factor, machines } from "../parts/format";
import { Icon } from "../parts/icons";
import { Choice } from "../parts/labelled";
import { useModal } from "../parts/modal";
import { open, setToken } from "../store/farm";
import { closeList } from "../store/page";
import { remove } from "../store/runs";
import * as state from "../store/state";
import { CreateForm } from "./create_form";
import { listed, STATUSES, type StatusFilter } from "./listed";

/** Simulations that are shown at first, and with each press on more; a list of fewer is not filtered. */
const SHOWN = 100;
const FILTERED_FROM = 10;

export function SimulationList() {
  const dialog = useModal(closeList);
  const simulations = state.simulations.value;
  const [isCreating, setCreating] = useState(simulations !== null && simulations.length === 0);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: by keys, Escape closes it.
    <dialog ref={dialog} tabIndex={-1} class="dialog" aria-labelledby="list-title" onClick={(event) => event.target === dialog.current && closeList()}>
      <div class="dialog-body">
        <header class="card-head">
          <h2 id="list-title">{isCreating ? "New simulation" : "Simulations"}</h2>
          {!isCreating && (
            <button type="button" class="button button-main" onClick={() => setCreating(true)}>
              <Icon name="plus" />
              New
            </button>
          )}
          <button type="button" class="icon-button" aria-label="Close" onClick={closeList}>
            <Icon name="close" />
          </button>
        </header>
        {state.listTrouble.value !== null && <p class="field-error">{state.listTrouble.value}</p>}
        {isCreating ? (
          <CreateForm onCancel={() => setCreating(false)} />
        ) : simulations === null ? (
          <p class="note">Loading …</p>
        ) : simulations.length === 0 ? (
          <p class="note">There is none yet.</p>
        ) : (
          <List simulations={simulations} />
        )}
        <p class="note links">
          <a href="/docs">API</a> <a href="/openapi.json">OpenAPI</a> <a href="/metrics">Metrics</a>
          {state.hasToken.value && (
            <button type="button" class="link" onClick={() => setToken("")}>
              Forget the token
            </button>
          )}
        </p>
      </div>
    </dialog>
  );
}

function List({ simulations }: { simulations: Simulation[] }) {
  const [status, setStatus] = useState<StatusFilter>("");
  const [most, setMost] = useState(SHOWN);
  const { shown, more } = listed(simulations, status, most);
  return (
    <>
      {simulations.length >= FILTERED_FROM && (
        <Choice label="Status" value={status} options={[["", "any"], ...STATUSES.map((name) => [name, name] as const)]} onChange={setStatus} />
      )}
      <ul class="simulations">
        {shown.map((simulation) => (
          <Item key={simulation.id} simulation={simulation} />
        ))}
      </ul>
      {shown.length === 0 && <p class="note">None is {status}.</p>}
      {more > 0 && (
        <button type="button" class="button button-wide" onClick={() => setMost(most + SHOWN)}>
          {count(more)} more
        </button>
      )}
    </>
  );
}

type Simulation = NonNullable<typeof state.simulation.value>;

function Item({ simulation }: { simulation: Simulation }) {
  const [isAsking, setAsking] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const isOpen = state.place.value.simulation === simulation.id;
  const removeIt = async () => {
    try {
      await remove(simulation.id);
    } catch (error) {
      setTrouble(asProblem(error).sentence);
    }
  };
  return (
    <li class={isOpen ? "is-open" : undefined}>
      <button type="button" class="simulation" aria-current={isOpen} onClick={() => open(simulation.id)}>
        <b>{simulation.name}</b>
        <span class={`pill status-${simulation.status}`}>{simulation.status}</span>
        <small>
          {machines(simulation.entities)} · {simulation.scenario} · {factor(simulation.speed)} · {duration(simulation.sim_time_s)}
          {simulation.parent !== null && ` · fork at tick ${count(simulation.parent_tick ?? 0)}`}
        </small>
      </button>
      {isAsking ? (
        <span class="ask" role="group" aria-label={`Delete ${simulation.name}?`}>
          <button type="button" class="button button-danger" onClick={removeIt}>
            Delete for good
          </button>
          <button type="button" class="button" onClick={() => setAsking(false)}>
            Keep
          </button>
        </span>
      ) : (
        <button type="button" class="icon-button" aria-label={`Delete ${simulation.name}`} onClick={() => setAsking(true)}>
          <Icon name="trash" />
        </button>
      )}
      {trouble !== null && (
        <p class="field-error" role="alert">
          {trouble}
        </p>
      )}
    </li>
  );
}
