/** What the colours mean, how many there are of each, and a filter: what is pressed off is not drawn. */

import { useState } from "preact/hooks";
import { COLOUR_BY, KINDS, RAMP, RAMP_SPEED_M_PER_S } from "../map/palette";
import { capital, count } from "../parts/format";
import { Icon } from "../parts/icons";
import { Choice } from "../parts/labelled";
import { STATE_MEANS, STATES } from "../protocol/states";
import { setMachineLimit } from "../store/farm";
import { MACHINE_LIMITS } from "../store/location";
import { changePlace } from "../store/page";
import * as state from "../store/state";
import { SampleNote } from "./notice";

export function Legend() {
  const [isOpen, setOpen] = useState(!matchMedia("(max-width: 1080px)").matches);
  const { colourBy, machineLimit } = state.place.value;
  return (
    <section class="card legend" aria-label="Legend">
      <header class="card-head">
        <Choice
          label="Colour by"
          class="grow"
          value={colourBy}
          options={COLOUR_BY.map((by) => [by, capital(by)] as const)}
          onChange={(by) => changePlace({ colourBy: by })}
        />
        <button type="button" class="icon-button" aria-expanded={isOpen} aria-label="Legend and filter" onClick={() => setOpen(!isOpen)}>
          <Icon name={isOpen ? "minus" : "plus"} />
        </button>
      </header>
      {isOpen && (
        <>
          {colourBy === "charge" && <Ramp from="0 %" to="100 %" label="Charge" />}
          {colourBy === "speed" && <Ramp from="0" to={`${RAMP_SPEED_M_PER_S} m/s`} label="Speed" />}
          {colourBy === "site" && <p class="note">Neighbouring sites differ; colours repeat.</p>}
          <States isColoured={colourBy === "state"} />
          <Classes isColoured={colourBy === "class"} />
          <p class="note">Near enough, a bolt is a charger; in its disc, how many queue.</p>
          <footer class="legend-foot">
            <Choice
              label="Machines drawn at most"
              value={String(machineLimit)}
              options={MACHINE_LIMITS.map((limit) => [String(limit), count(limit)] as const)}
              onChange={(limit) => setMachineLimit(Number(limit) as typeof machineLimit)}
            />
            <SampleNote />
          </footer>
        </>
      )}
    </section>
  );
}

function Ramp({ from, to, label }: { from: string; to: string; label: string }) {
  return (
    <div class="ramp" role="img" aria-label={`${label}: from ${from}, dark blue, to ${to}, yellow`}>
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        {RAMP.map((colour, n) => (
          <rect key={colour} x={n * 20} y="0" width="20.5" height="6" fill={colour ?? "none"} />
        ))}
      </svg>
      <span>{from}</span>
      <span>{to}</span>
    </div>
  );
}

function States({ isColoured }: { isColoured: boolean }) {
  const { hiddenStates } = state.place.value;
  const byState = state.tick.value?.sums.byState;
  const total = Math.max(state.tick.value?.sums.machines ?? 1, 1);
  return (
    <>
      <ul class="states" aria-label="States">
        {STATES.map((name, code) => {
          const isShown = (hiddenStates & (1 << code)) === 0;
          const machines = byState?.[code] ?? Number.NaN;
          return (
            <li key={name}>
              <button
                type="button"
                aria-pressed={isShown}
                title={`${STATE_MEANS[name]} Click to hide or show; double-click for this one alone.`}
                class={machines > 0 ? "state" : "state is-none"}
                onClick={() => changePlace({ hiddenStates: hiddenStates ^ (1 << code) })}
                onDblClick={() => changePlace({ hiddenStates: ~(1 << code) & (2 ** STATES.length - 1) })}
              >
                <Swatch colour={isColoured ? state.stateColours.value[name] : null} isFaulted={name === "faulted"} />
                <span class="state-name">{name}</span>
                <span class="number">
                  {count(machines)}
                  <span class="unseen"> machines</span>
                </span>
                <meter class="share" min={0} max={total} value={machines || 0} aria-hidden="true" />
              </button>
            </li>
          );
        })}
      </ul>
      {hiddenStates !== 0 && (
        <button type="button" class="link" onClick={() => changePlace({ hiddenStates: 0 })}>
          Show all states
        </button>
      )}
    </>
  );
}

function Classes({ isColoured }: { isColoured: boolean }) {
  const names = state.classNames.value;
  const { hiddenClasses } = state.place.value;
  if (names.length < 2) return null;
  if (state.classOfRow.value === null) {
    return isColoured ? <p class="note">The classes of so many machines are not loaded; each machine's own is in its card.</p> : null;
  }
  return (
    <ul class="states states-classes" aria-label="Classes">
      {names.map((name, code) => (
        <li key={name}>
          <button
            type="button"
            class="state"
            aria-pressed={(hiddenClasses & (1 << code)) === 0}
            onClick={() => changePlace({ hiddenClasses: hiddenClasses ^ (1 << code) })}
          >
            <Swatch colour={isColoured ? (KINDS[code % KINDS.length] as string) : null} isFaulted={false} />
            <span class="state-name">{name}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The colour as it is on the map; what is faulted has its own shape there, and here. */
export function Swatch({ colour, isFaulted }: { colour: string | null; isFaulted: boolean }) {
  return (
    <svg class="swatch" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      {isFaulted ? <path d="M6 .5 11.500 6 6 11.500.5 6z" fill={colour ?? "none"} /> : <circle cx="6" cy="6" r="4.800" fill={colour ?? "none"} />}
    </svg>
  );
}
