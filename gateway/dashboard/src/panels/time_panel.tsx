/** Time: where a tick's time goes, whether its deadline was met, who computes, and what this page itself takes. */

import { useEffect, useState } from "preact/hooks";
import type { StagePercentiles } from "../api/client";
import { asProblem } from "../api/problem";
import { bytes, capital, count, duration, factor, fixed, latency, percent, short, words } from "../parts/format";
import { Plot } from "../parts/plot";
import { repeated } from "../parts/repeated";
import { api } from "../store/page";
import * as state from "../store/state";
import { deadlineOf, LONGEST_GAP_S, lateByRow, lateShare, recentFromTick, recentLate, timings, timingsVersion } from "../store/timings";
import { clock, NoHistory, Tile } from "./farm_panel";
import { share, verdict } from "./verdict";

/** How often the stages are asked for, which the server sums up. */
const EVERY_MS = 4_000;

export function TimePanel() {
  const simulation = state.simulation.value;
  if (simulation === null) return <p class="note">Waiting for the simulation.</p>;
  const deadlineUs = deadlineOf(simulation);
  const { late_ticks, tick, dilated_ms } = simulation;
  const now = state.tick.value;
  return (
    <>
      <section class="block">
        <h2>Pace</h2>
        <dl class="tiles">
          <Tile name="Asked speed" value={factor(simulation.speed)} />
          <Tile name="Achieved" value={factor(simulation.achieved_speed)} />
          <Tile name="Deadline" value={deadlineUs === null ? "none" : latency(deadlineUs)} />
          <Tile name="Late ticks" value={count(late_ticks)} />
          <Tile name="Late of all" value={share(lateShare(simulation))} />
          <Tile name="Time shifted" value={latency(dilated_ms * 1000)} />
          <Tile name="Simulated" value={duration(now?.simTimeS ?? simulation.sim_time_s)} />
          <Tile name="Tick" value={count(now?.tick ?? tick)} />
          <Tile name="A tick is" value={`${simulation.tick_ms} ms`} />
        </dl>
      </section>
      <Stages key={simulation.id} id={simulation.id} deadlineUs={deadlineUs} />
      <LatencyOverTime />
      <Workers />
      <ThisPage />
    </>
  );
}

function Stages({ id, deadlineUs }: { id: string; deadlineUs: number | null }) {
  const [stages, setStages] = useState<StagePercentiles[]>([]);
  const [isRecent, setRecent] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    let isGone = false;
    const stop = repeated(async () => {
      try {
        const from = recentFromTick();
        const answer = await api.latency(id, { from_tick: from ?? undefined });
        if (isGone) return EVERY_MS;
        setStages(answer.stages);
        setRecent(from !== null);
        setTrouble(null);
      } catch (error) {
        if (!isGone) setTrouble(asProblem(error).sentence);
      }
      return EVERY_MS;
    });
    return () => {
      isGone = true;
      stop();
    };
  }, [id]);
  return (
    <section class="block">
      <h2>Latency of a tick</h2>
      {deadlineUs !== null && <Verdict />}
      {trouble !== null && <p class="field-error">{trouble}</p>}
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col">p50</th>
            <th scope="col">p99</th>
            <th scope="col">Worst</th>
          </tr>
        </thead>
        <tbody>
          {stages.map((stage) => (
            <tr key={stage.stage} class={stage.stage === "tick_latency" ? "is-total" : undefined}>
              <th scope="row">{capital(words(stage.stage))}</th>
              <td>{latency(stage.p50_us)}</td>
              <td>{latency(stage.p99_us)}</td>
              <td class={isRecent ? isOver(stage.max_us, deadlineUs) : undefined}>{latency(stage.max_us)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="note">
        {isRecent
          ? "Of the last minutes, since this page saw the speed of now. Above, each tick is judged by its own deadline."
          : "Since the orchestrator started, at any speed: there is no history of this one yet."}
      </p>
    </section>
  );
}

/** Whether the deadlines of the last minutes were met: what was long ago says nothing of how it is now. */
function Verdict() {
  void timingsVersion.value;
  const recent = recentLate();
  if (recent === null) return null;
  const { isMet, text } = verdict(recent);
  return <p class={isMet ? "verdict verdict-good" : "verdict verdict-bad"}>{text}</p>;
}

function isOver(us: number, deadlineUs: number | null): string | undefined {
  return deadlineUs !== null && us > deadlineUs ? "is-over" : undefined;
}

function LatencyOverTime() {
  const version = timingsVersion.value;
  if (timings.length < 2) return <NoHistory title="Over time" />;
  const x = timings.column("at_s");
  const deadlines = timings.column("deadline");
  const deadline = deadlines.some(Number.isFinite) ? [{ name: "Deadline", colour: "--muted", values: deadlines, isDashed: true }] : [];
  return (
    <section class="block">
      <h2>Over time</h2>
      <Plot
        label="Latency of a tick over the last minutes, ms"
        height={130}
        isLogarithmic
        formatY={short}
        version={version}
        x={x}
        formatX={clock}
        longestGap={LONGEST_GAP_S}
        lines={[
          { name: "p50, ms", colour: "--plot-1", values: timings.column("p50") },
          { name: "p99, ms", colour: "--plot-2", values: timings.column("p99") },
          { name: "Worst, ms", colour: "--plot-3", values: timings.column("worst") },
          ...deadline,
        ]}
      />
      <Plot
        label="Achieved speed and late ticks over the last minutes"
        height={100}
        version={version}
        x={x}
        formatX={clock}
        longestGap={LONGEST_GAP_S}
        lines={[
          { name: "Late ticks", colour: "--plot-2", values: lateByRow(), scale: "right", isFilled: true, isCount: true },
          { name: "Achieved speed", colour: "--plot-3", values: timings.column("achieved") },
        ]}
      />
    </section>
  );
}

function Workers() {
  const workers = state.workers.value;
  return (
    <section class="block">
      <h2>Workers</h2>
      {workers.length === 0 ? (
        <p class="note">No worker is there: nothing can run. Start one with autofarm worker.</p>
      ) : (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Load</th>
              <th scope="col">Machines</th>
              <th scope="col">Steps/s</th>
            </tr>
          </thead>
          <tbody>
            {workers.map((worker) => (
              <tr key={worker.id}>
                <th scope="row">
                  {worker.name} <small class={worker.state === "ready" ? undefined : "is-over"}>{worker.state}</small>
                </th>
                <td>{percent(worker.load)}</td>
                <td>{short(worker.machines)}</td>
                <td>{short(worker.machine_ticks_per_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function ThisPage() {
  const { picturesPerS, pictureMs, bytesPerS } = state.rates.value;
  const { bytes: all, undrawn, lagged, malformed } = state.traffic.value;
  return (
    <section class="block">
      <h2>This page</h2>
      <dl class="rows">
        <Tile name="Pictures" value={`${fixed(picturesPerS, 0)} /s`} />
        <Tile name="To prepare one" value={`${fixed(pictureMs, 1)} ms`} />
        <Tile name="Machines drawn" value={count(state.drawn.value)} />
        <Tile name="Received" value={`${bytes(bytesPerS)}/s, ${bytes(all)} in all`} />
        <Tile name="Skipped here, not drawn in time" value={count(undrawn)} />
        <Tile name="Skipped by the server" value={count(lagged)} />
        <Tile name="Not understood" value={count(malformed)} />
      </dl>
    </section>
  );
}
