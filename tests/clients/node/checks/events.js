/**
 * Events: all of them, in order, whatever becomes of the connection.
 *
 * @import { Api } from "../rest.js"
 */

import { Farm, isSame, need, readEvents, sameEvents } from "../farm.js";
import { Logs } from "../log.js";
import { isTick } from "../machines.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL } from "../stream.js";

const FROM_THE_FIRST = { events: "all", from_event: 1, from_system_event: 1 };
/** Connections that are lost, and events read between two losses. */
const LOSSES = 6;
const EVENTS_EACH = 15;
/** Enough for a fault of ten seconds to be over. */
const RUN_TICKS = 600;
/** Enough for all kinds of events in a crowded farm. */
const ORDERED_TICKS = 1_500;
const PATIENCE_MS = 120_000;

/**
 * Every event of a run with commands is streamed, and is what the REST API lists.
 *
 * @param {Api} api
 */
export function complete(api) {
  return Farm.with(api, {}, async (farm) => {
    const text = await farm.stream(JSON_PROTOCOL, FROM_THE_FIRST);
    const binary = await farm.stream(BINARY_PROTOCOL, FROM_THE_FIRST);
    // Before the first tick, so that they are carried out in it.
    const carriedOut = [
      await farm.command({ entities: [1, 2], command: "hold" }),
      await farm.command({ entity: 5, command: "inject_fault", args: { component: "drive", for_s: 10 } }),
    ];
    const rejected = [
      await farm.command({ entity: 3, command: "goto", args: { x_m: 30_000, y_m: 30_000 } }),
      await farm.command({ entity: 4, command: "release" }),
    ];
    await farm.runUntil(RUN_TICKS);
    const until = await farm.nextEvents();
    const logs = [new Logs(), new Logs()];
    await Promise.all([readEvents(text, logs[0], until), readEvents(binary, logs[1], until)]);
    for (const log of logs) sameEvents(log, await farm.events(until));
    const seen = [...logs[0].events.sim.values(), ...logs[0].events.system.values()];
    for (const kind of ["transition", "command", "command_rejected", "fault", "repaired", "lifecycle"]) {
      need(seen.some((event) => event.kind === kind), `no event is a ${kind}`);
    }
    const seqs = (/** @type {string} */ kind) => seen.filter((e) => e.kind === kind).map((e) => e.detail.command_seq);
    need(isSame(seqs("command").sort(), carriedOut), `carried out ${seqs("command")}`);
    need(isSame(seqs("command_rejected").sort(), rejected), `rejected ${seqs("command_rejected")}`);
  });
}

/**
 * A tick is behind all events of the farm that happened up to it, and before none of the system that is older than it.
 *
 * @param {Api} api
 */
export async function ordered(api) {
  for (const protocol of [JSON_PROTOCOL, BINARY_PROTOCOL]) {
    await Farm.with(api, { scenario: "dense", entities: 640, max_ticks: ORDERED_TICKS }, async (farm) => {
      const stream = await farm.stream(protocol, { events: "all", rate_hz: 60 });
      await farm.act("start");
      const seen = { tick: -1, sim: 0, system: 0, isSettled: false };
      await stream.until((message) => {
        if (isTick(message)) {
          seen.tick = message.tick;
        } else if (message.type === "event") {
          const oldest = message.log === "sim" ? seen.tick + 1 : seen.tick;
          need(message.tick >= oldest, `${JSON.stringify(message)} after tick ${seen.tick}`);
          seen[/** @type {"sim" | "system"} */ (message.log)] += 1;
          seen.isSettled ||= message.detail.event === "settled";
        }
        return seen.isSettled && seen.tick === ORDERED_TICKS;
      }, PATIENCE_MS);
      need(seen.sim > EVENTS_EACH && seen.system > 0, `too little happens to tell an order: ${JSON.stringify(seen)}`);
    });
  }
}

/**
 * A client whose connection is lost again and again misses nothing and gets nothing twice.
 *
 * @param {Api} api
 */
export function resumed(api) {
  return Farm.with(api, { scenario: "dense", entities: 640 }, async (farm) => {
    const logs = new Logs();
    await farm.act("start");
    for (let loss = 0; loss < LOSSES; loss += 1) {
      const protocol = loss % 2 === 0 ? JSON_PROTOCOL : BINARY_PROTOCOL;
      const stream = await farm.stream(protocol, logs.resumeQuery());
      await readEvents(stream, logs, { sim: logs.last.sim + EVENTS_EACH + 1 });
      stream.drop();
    }
    await farm.pause();
    const until = await farm.nextEvents();
    await readEvents(await farm.stream(JSON_PROTOCOL, logs.resumeQuery()), logs, until);
    sameEvents(logs, await farm.events(until));
  });
}
