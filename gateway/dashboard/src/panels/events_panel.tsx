/** What happened, newest first; a click goes to the machine that it happened to, or to the site. */

import { useState } from "preact/hooks";
import { capital, count, latency, words } from "../parts/format";
import { Icon, type IconName } from "../parts/icons";
import type { FarmEvent } from "../protocol/messages";
import { GAP, GROUPS, type Group, groupOf } from "../store/event_log";
import { setWantsAllEvents } from "../store/farm";
import { CAUSES } from "../store/occasions";
import { goTo, goToSite } from "../store/selection";
import * as state from "../store/state";

/** Events on the page at once: the newest. */
const SHOWN = 150;

const ICONS: Record<string, IconName> = {
  transition: "swap",
  command: "flag",
  command_rejected: "cross",
  fault: "warning",
  repaired: "wrench",
  stand_off: "arrow",
  lifecycle: "play",
  system: "gear",
};

export function EventsPanel() {
  void state.eventVersion.value;
  const [groups, setGroups] = useState<ReadonlySet<Group>>(new Set(["faults", "commands", "traffic", "run"] as const));
  const isWanted = (event: FarmEvent) => {
    const group = groupOf(event.kind);
    return group === null || groups.has(group);
  };
  const shown: FarmEvent[] = [];
  const { events } = state.eventLog;
  for (let n = events.length - 1; n >= 0 && shown.length < SHOWN; n -= 1) {
    const event = events[n] as FarmEvent;
    if (isWanted(event)) shown.push(event);
  }
  const toggle = (group: Group) => {
    const next = new Set(groups);
    if (!next.delete(group)) next.add(group);
    setGroups(next);
  };
  const isAll = state.wantsAllEvents.value;
  return (
    <section class="block">
      <div class="chips" role="group" aria-label="Kinds of events">
        {(Object.keys(GROUPS) as Group[]).map((group) => {
          const comes = isAll || group === "run";
          return (
            <button
              key={group}
              type="button"
              class={comes ? "chip" : "chip is-absent"}
              title={comes ? undefined : "None comes now"}
              aria-pressed={groups.has(group)}
              onClick={() => toggle(group)}
            >
              {GROUPS[group].label}
            </button>
          );
        })}
      </div>
      <label class="switch">
        <input type="checkbox" checked={isAll} onChange={() => setWantsAllEvents(!isAll)} />
        Include events of single machines
      </label>
      {!isAll && <p class="note">What is struck out above does not come now.</p>}
      {state.isBurst.value && (
        <p class="note">
          There were too many; they come again by themselves.
          <button type="button" class="link" onClick={() => setWantsAllEvents(true)}>
            Show all again
          </button>
        </p>
      )}
      {shown.length === 0 ? (
        <p class="note">Nothing of these kinds happened since this page was opened.</p>
      ) : (
        <p class="event-head" aria-hidden="true">
          <span>What happened</span>
          <span>Tick</span>
        </p>
      )}
      <ol class="events" aria-label="Events">
        {shown.map((event) => (
          <li key={`${event.log}${event.seq}`}>
            <EventRow event={event} />
          </li>
        ))}
      </ol>
      {state.eventLog.passedOver > 0 && <p class="note">{count(state.eventLog.passedOver)} earlier ones are not held by this page; the API has them.</p>}
    </section>
  );
}

export function EventRow({ event }: { event: FarmEvent }) {
  const machine = event.entities?.[0];
  const jump = machine !== undefined ? () => goTo(machine) : typeof event.site === "number" ? () => goToSite(event.site as number) : null;
  const inner = (
    <>
      <span class={`event-icon event-${event.kind}`}>
        <Icon name={ICONS[event.kind] ?? "clock"} />
      </span>
      <span class="event-text">{told(event)}</span>
      <span class="event-tick number">{count(event.tick)}</span>
    </>
  );
  // An event tells no place, and the machine may have gone on since.
  const title = machine !== undefined ? `Show machine #${machine} where it is now` : "Show its site";
  if (jump === null) return <div class="event">{inner}</div>;
  return (
    <button type="button" class="event" title={title} onClick={jump}>
      {inner}
    </button>
  );
}

/** An event in words. */
export function told(event: FarmEvent): string {
  const { detail, entities } = event;
  const who =
    entities == null || entities.length === 0 ? "" : entities.length === 1 ? `#${entities[0]}` : `#${entities[0]} and ${count(entities.length - 1)} more`;
  const text = (name: string) => String(detail[name] ?? "");
  switch (event.kind) {
    case "transition":
      return `${who} ${words(text("state"))}`;
    case "command":
      return `${who} carried out command ${text("command_seq")}`;
    case "command_rejected":
      return `${who} rejected command ${text("command_seq")}: ${words(text("reason"))}`;
    case "fault":
      return `${who} broke down, until tick ${count(Number(detail["repair_tick"]))}`;
    case "repaired":
      return `${who} ${entities?.length === 1 ? "is" : "are"} repaired`;
    case "stand_off":
      return `${who} stood off from #${text("other")}`;
    case "lifecycle":
      return `${capital(text("status"))}: ${CAUSES[text("cause")] ?? words(text("cause"))}`;
    case "system":
      return system(detail);
    case GAP:
      return `… not shown between ticks ${count(Number(detail["from_tick"]))} and ${count(event.tick)}: events of machines`;
    default:
      return `${capital(words(event.kind))} ${who}`;
  }
}

function late(ticks: number): string {
  return ticks === 1 ? "A late tick" : `${count(ticks)} late ticks`;
}

function system(detail: FarmEvent["detail"]): string {
  const text = (name: string) => String(detail[name] ?? "");
  switch (detail["event"]) {
    case "late":
      return `${late(Number(detail["ticks"]))}, the slowest took ${latency(Number(detail["latency_us"]))}`;
    case "worker_lost":
      return `Worker ${text("worker")} was lost: ${text("reason")}`;
    case "worker_suspect":
      return `Worker ${text("worker")} does not answer`;
    case "worker_draining":
      return `Worker ${text("worker")} is drained`;
    case "no_worker":
      return "No worker is there";
    case "dilated":
      return `Deadlines were shifted by ${latency(Number(detail["by_us"]))}`;
    default:
      return capital(words(text("event")));
  }
}
