/** The farm as a whole: what its machines do over time, its energy, and what has been counted since it was created. */

import { capital, count, fixed, NONE, percent, short, words } from "../parts/format";
import { Plot } from "../parts/plot";
import type { State } from "../protocol/states";
import { COUNTERS } from "../protocol/sums";
import * as state from "../store/state";
import { LONGEST_GAP_S, timings, timingsTrouble, timingsVersion } from "../store/timings";

export function FarmPanel() {
  const tick = state.tick.value;
  const simulation = state.simulation.value;
  if (simulation === null) return <p class="note">Waiting for the simulation.</p>;
  const sums = tick?.sums;
  return (
    <>
      <section class="block">
        <h2>Now</h2>
        <dl class="tiles">
          <Tile name="Machines" value={count(simulation.entities)} />
          <Tile name="Mean charge" value={percent(sums?.meanCharge ?? Number.NaN)} />
          <Tile name="Mean speed" value={sums === undefined ? NONE : `${fixed(sums.meanSpeedMPerS, 2)} m/s`} />
          <Tile name="Working" value={count(sums?.byState[2] ?? Number.NaN)} />
          <Tile name="Queueing" value={count(sums?.byState[6] ?? Number.NaN)} />
          <Tile name="Faulted" value={count(sums?.byState[8] ?? Number.NaN)} />
        </dl>
      </section>
      <StatesOverTime />
      <section class="block">
        <h2>Energy</h2>
        <EnergyOverTime />
        <Charges byCharge={sums?.byCharge ?? []} />
      </section>
      <section class="block">
        <h2>Since it was created</h2>
        <dl class="rows">
          {COUNTERS.map((name) => (
            <div key={name}>
              <dt>{capital(words(name))}</dt>
              <dd>{count(sums?.counters[name] ?? Number.NaN)}</dd>
            </div>
          ))}
        </dl>
      </section>
    </>
  );
}

export function Tile({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** A clock of the day for seconds of UNIX time. */
export function clock(seconds: number): string {
  return Number.isFinite(seconds) ? new Date(seconds * 1000).toLocaleTimeString([], { hour12: false }) : "";
}

/** From the bottom up: who works stands on the axis, where it is read best, and on top who stands. */
const STACK = [
  "working",
  "turning",
  "travelling",
  "refilling",
  "returning",
  "charging",
  "queueing",
  "idle",
  "holding",
  "faulted",
] as const satisfies readonly State[];

/** Stacked: each line is drawn at the sum of itself and of all below it, the topmost first. */
function StatesOverTime() {
  const version = timingsVersion.value;
  if (timings.length < 2) return <NoHistory title="States over time" />;
  const below = new Array<number>(timings.length).fill(0);
  const stacked = STACK.map((name) => {
    timings.column(name).forEach((machines, n) => {
      below[n] = (below[n] as number) + (Number.isFinite(machines) ? machines : 0);
    });
    return { name: name as string, colour: state.stateColours.value[name], values: [...below], isFilled: true };
  });
  const isThere = (name: State) => timings.column(name).some((machines) => machines > 0);
  return (
    <section class="block">
      <h2>States over time</h2>
      <Plot
        label="Machines in each state over the last minutes, stacked"
        height={150}
        version={version}
        x={timings.column("at_s")}
        formatX={clock}
        longestGap={LONGEST_GAP_S}
        formatY={short}
        lines={stacked.filter((line) => isThere(line.name as State)).reverse()}
      />
    </section>
  );
}

function EnergyOverTime() {
  const version = timingsVersion.value;
  if (timings.length < 2) return null;
  return (
    <Plot
      label="Mean charge in percent, and machines that charge or queue for it, over the last minutes"
      height={130}
      version={version}
      x={timings.column("at_s")}
      formatX={clock}
      longestGap={LONGEST_GAP_S}
      lines={[
        { name: "Mean charge, %", colour: "--plot-1", values: timings.column("charge"), range: [0, 100] },
        { name: "Charging", colour: "--plot-3", values: timings.column("charging"), scale: "right", isCount: true },
        { name: "Queueing", colour: "--plot-2", values: timings.column("queueing"), scale: "right", isCount: true },
      ]}
    />
  );
}

function Charges({ byCharge }: { byCharge: number[] }) {
  const most = Math.max(...byCharge, 1);
  return (
    <figure class="bars">
      <svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={`Machines by tenth of charge, emptiest first: ${byCharge.join(", ")}`}>
        {byCharge.map((machines, tenth) => {
          const high = (machines / most) * 30;
          return <rect key={tenth} x={tenth * 10 + 0.5} y={30 - high} width="9" height={high} />;
        })}
      </svg>
      <figcaption>
        <span>0 %</span>
        <span>machines by charge</span>
        <span>100 %</span>
      </figcaption>
    </figure>
  );
}

export function NoHistory({ title }: { title: string }) {
  const simulation = state.simulation.value;
  const trouble = timingsTrouble.value;
  const why =
    trouble ?? (simulation?.status === "running" ? "The first values come in a moment." : "Nothing happened lately; it fills while the simulation runs.");
  return (
    <section class="block">
      <h2>{title}</h2>
      <p class="note">{why}</p>
    </section>
  );
}
