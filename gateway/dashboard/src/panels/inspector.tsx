/** The machine that is looked at: what it does, its last minutes, and what it may be told to do. */

import { capital, duration, fixed, percent } from "../parts/format";
import { Icon } from "../parts/icons";
import { Plot } from "../parts/plot";
import { STATE_MEANS, type State } from "../protocol/states";
import { goTo, goToSite, select, toggleFollow } from "../store/selection";
import * as state from "../store/state";
import { CommandForm } from "./command_form";
import { Swatch } from "./legend";

const COMPASS = ["E", "NE", "N", "NW", "W", "SW", "S", "SE"] as const;

export function Inspector() {
  const selected = state.selected.value;
  if (selected === null) return null;
  const { id, info, now, trouble, row } = selected;
  const { isFollowed } = state.place.value;
  return (
    <section class="card inspector" aria-label={`Machine ${id}`}>
      <header class="card-head">
        <h2>
          Machine <span class="number">#{id}</span>
          <small>{info?.class ?? ""}</small>
        </h2>
        <button type="button" class="icon-button" aria-label="Show on the map" title="Show on the map" onClick={() => goTo(id)}>
          <Icon name="locate" />
        </button>
        <button type="button" class="icon-button" aria-label="Close machine" title="Close (Esc)" onClick={() => select(null)}>
          <Icon name="close" />
        </button>
      </header>
      {trouble !== null && <p class="field-error">{trouble}</p>}
      {now !== null && (
        <>
          <p class="now">
            <Swatch colour={state.stateColours.value[now.state as State] ?? null} isFaulted={now.state === "faulted"} />
            <b data-testid="machine-state">{capital(now.state)}</b>
            {info !== null && (
              <button type="button" class="link" onClick={() => goToSite(info.site)}>
                Site {info.site}
              </button>
            )}
          </p>
          <p class="note">{STATE_MEANS[now.state as State]}</p>
          <dl class="facts">
            <div>
              <dt>Charge</dt>
              <dd>{percent(now.charge)}</dd>
            </div>
            <div>
              <dt>Speed</dt>
              <dd>{fixed(now.speedMPerS, 1)} m/s</dd>
            </div>
            <div>
              <dt>Heading</dt>
              <dd>{COMPASS[Math.round(now.headingTurns * 8) % 8]}</dd>
            </div>
            <div>
              <dt>East, north, m</dt>
              <dd>
                {fixed(now.xM, 1)}, {fixed(now.yM, 1)}
              </dd>
            </div>
          </dl>
          <History />
        </>
      )}
      {now === null && trouble === null && <p class="note">Asking for it …</p>}
      <label class="switch">
        <input type="checkbox" checked={isFollowed} disabled={row === null} onChange={toggleFollow} />
        Follow on the map
      </label>
      {/* What was answered for one machine is not said under another. */}
      <CommandForm key={`${state.place.value.simulation}#${id}`} id={id} />
    </section>
  );
}

function History() {
  const version = state.machineSamples.value;
  const { machineSeries: series } = state;
  if (series.length < 3) return <p class="note">Its history begins now.</p>;
  return (
    <Plot
      label={`Charge and speed of the machine over the last ${series.length} samples`}
      height={84}
      version={version}
      x={series.column("at_s")}
      formatX={duration}
      lines={[
        { name: "Charge, %", colour: "--plot-1", values: series.column("charge"), range: [0, 100] },
        { name: "Speed, m/s", colour: "--plot-2", values: series.column("speed"), scale: "right" },
      ]}
    />
  );
}
