/** The table of machines: filtered by the server, drawn as far as it is seen. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Machine } from "../api/client";
import { asProblem } from "../api/problem";
import { count, fixed } from "../parts/format";
import { Icon } from "../parts/icons";
import { Choice, Labelled } from "../parts/labelled";
import { repeated } from "../parts/repeated";
import { STATES } from "../protocol/states";
import { api } from "../store/page";
import { goTo } from "../store/selection";
import * as state from "../store/state";
import { Swatch } from "./legend";
import { type Loaded, MAX_HELD, MachinePages } from "./machine_pages";
import { compared, ROW_PX, type SortBy, seenRows } from "./machine_rows";

const REFRESH_MS = 2_000;

interface Filters {
  state: string;
  class: string;
  site: string;
}

export function MachinesPanel() {
  const simulation = state.simulation.value;
  if (simulation === null) return <p class="note">Waiting for the simulation.</p>;
  return <Machines key={simulation.id} id={simulation.id} sites={state.fleet.value?.sites ?? 1} />;
}

function Machines({ id, sites }: { id: string; sites: number }) {
  const [filters, setFilters] = useState<Filters>({ state: "", class: "", site: "" });
  const [sort, setSort] = useState<{ by: SortBy; isDown: boolean }>({ by: "id", isDown: false });
  const table = useMachines(id, filters);
  const set = (change: Partial<Filters>) => setFilters({ ...filters, ...change });
  const sorted = [...table.machines].sort((a, b) => compared(a, b, sort.by) * (sort.isDown ? -1 : 1));
  const classes = state.classNames.value;
  return (
    <section class="block block-full">
      <div class="row filters">
        <Choice
          label="State"
          value={filters.state}
          options={[["", "any"], ...STATES.map((name) => [name, name] as const)]}
          onChange={(name) => set({ state: name })}
        />
        {classes.length > 1 && (
          <Choice
            label="Class"
            value={filters.class}
            options={[["", "any"], ...classes.map((name) => [name, name] as const)]}
            onChange={(name) => set({ class: name })}
          />
        )}
        {sites > 1 && (
          <Labelled label="Site">
            {(at) => (
              <input
                id={at}
                class="input"
                type="number"
                min="0"
                max={sites - 1}
                placeholder="any"
                value={filters.site}
                onInput={(event) => set({ site: event.currentTarget.value })}
              />
            )}
          </Labelled>
        )}
        <GoTo />
      </div>
      {table.trouble !== null && <p class="field-error">{table.trouble}</p>}
      <Rows machines={sorted} sort={sort} setSort={setSort} onEnd={table.more} />
      <p class="note" role="status">
        {table.isLoading ? "Loading … " : ""}
        {count(table.machines.length)} loaded{table.tick === null ? "" : `, as of tick ${count(table.tick)}`}
        {table.hasMore ? "; scroll for more" : ""}
        {table.machines.length >= MAX_HELD ? "; filter to narrow it down" : ""}
        {table.hasMore && sort.by !== "id" ? ". Sorted are those that are loaded" : ""}.
      </p>
    </section>
  );
}

/** Pages of machines, refreshed while they are looked at. */
function useMachines(id: string, filters: Filters) {
  const [loaded, setLoaded] = useState<Loaded>({ machines: [], tick: null, hasMore: false });
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isLoading, setLoading] = useState(true);
  const shown = useRef<{ more: () => void }>({ more: () => {} });
  useEffect(() => {
    let isGone = false;
    const pages = new MachinePages((cursor, limit) => api.machines(id, { ...filters, cursor, limit }));
    const load = async (work: Promise<void>) => {
      setLoading(true);
      const problem = await work.then(
        () => null,
        (error) => asProblem(error).sentence,
      );
      if (isGone) return;
      setLoaded(pages.loaded);
      setTrouble(problem);
      setLoading(false);
    };
    shown.current = { more: () => void load(pages.more()) };
    const stop = repeated(async () => {
      await load(pages.refresh());
      // What takes more requests is refreshed less often.
      return REFRESH_MS * pages.requests;
    });
    return () => {
      isGone = true;
      stop();
    };
  }, [id, filters.state, filters.class, filters.site]);
  return { ...loaded, trouble, isLoading, more: () => loaded.hasMore && shown.current.more() };
}

function GoTo() {
  const [text, setText] = useState("");
  const most = state.simulation.value?.entities ?? 1;
  return (
    <form
      class="go-to"
      onSubmit={(event) => {
        event.preventDefault();
        const id = Number(text);
        if (Number.isInteger(id) && id >= 1 && id <= most) void goTo(id);
      }}
    >
      <Labelled label="Go to">
        {(at) => (
          <input id={at} class="input" type="number" min="1" max={most} placeholder="#" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        )}
      </Labelled>
      <button type="submit" class="icon-button" aria-label="Go to machine">
        <Icon name="search" />
      </button>
    </form>
  );
}

const COLUMNS: { by: SortBy; label: string }[] = [
  { by: "id", label: "Machine" },
  { by: "state", label: "State" },
  { by: "charge", label: "Charge" },
  { by: "speed", label: "m/s" },
  { by: "site", label: "Site" },
];

interface RowsProps {
  machines: readonly Machine[];
  sort: { by: SortBy; isDown: boolean };
  setSort: (sort: { by: SortBy; isDown: boolean }) => void;
  onEnd: () => void;
}

function Rows({ machines, sort, setSort, onEnd }: RowsProps) {
  const [scroll, setScroll] = useState({ top: 0, height: 600 });
  const selected = state.selected.value?.id;
  const { from, to } = seenRows(scroll.top, scroll.height, machines.length);
  const handleScroll = (event: Event) => {
    const box = event.currentTarget as HTMLElement;
    setScroll({ top: box.scrollTop, height: box.clientHeight });
    if (box.scrollTop + box.clientHeight * 2 > box.scrollHeight) onEnd();
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls is scrolled by keys.
    <div class="machines" tabIndex={0} role="region" aria-label="Table of machines" onScroll={handleScroll}>
      <table class="table table-machines" aria-rowcount={machines.length + 1}>
        <thead>
          <tr>
            {COLUMNS.map(({ by, label }) => (
              <th key={by} scope="col" aria-sort={sort.by === by ? (sort.isDown ? "descending" : "ascending") : "none"}>
                <button type="button" onClick={() => setSort({ by, isDown: sort.by === by && !sort.isDown })}>
                  {label}
                  {sort.by === by ? (sort.isDown ? " ↓" : " ↑") : ""}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Space rows={from} />
          {machines.slice(from, to).map((machine, n) => (
            <tr key={machine.id} aria-rowindex={from + n + 2} class={machine.id === selected ? "is-selected" : undefined} onClick={() => goTo(machine.id)}>
              <th scope="row">
                <button type="button" class="link number" aria-label={`Machine ${machine.id}`}>
                  #{machine.id}
                </button>
              </th>
              <td>
                {machine.now !== null && <Swatch colour={state.stateColours.value[machine.now.state]} isFaulted={machine.now.state === "faulted"} />}{" "}
                {machine.now?.state ?? "–"}
              </td>
              <td>{machine.now === null ? "–" : `${fixed(machine.now.battery, 0)} %`}</td>
              <td>{fixed(machine.now?.speed ?? Number.NaN, 1)}</td>
              <td>{machine.site}</td>
            </tr>
          ))}
          <Space rows={machines.length - to} />
        </tbody>
      </table>
    </div>
  );
}

/** Stands for rows that are not seen. */
function Space({ rows }: { rows: number }) {
  if (rows <= 0) return null;
  return (
    <tr aria-hidden="true">
      <td colSpan={COLUMNS.length} class="space" height={rows * ROW_PX} />
    </tr>
  );
}
