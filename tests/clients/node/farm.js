/**
 * A simulation made for a check, and deleted after it.
 *
 * @import { Api } from "./rest.js"
 * @import { Logs } from "./log.js"
 * @import { StreamOptions } from "./stream.js"
 */

import { setTimeout as pause } from "node:timers/promises";

import { isTick } from "./machines.js";
import { JSON_PROTOCOL, Stream } from "./stream.js";

/** Equal answers in a row after which a paused simulation counts as standing. */
const STANDING = 5;

/** The gateway does something else than its page says. */
export class Differs extends Error {}

/**
 * Fails the check unless it holds.
 *
 * @param {unknown} holds
 * @param {string} what
 */
export function need(holds, what) {
  if (!holds) throw new Differs(what);
}

/** One simulation, and the streams that were opened of it. */
export class Farm {
  /** @type {Stream[]} */
  #streams = [];

  /**
   * @param {Api} api
   * @param {any} resource
   */
  constructor(api, resource) {
    this.api = api;
    this.id = /** @type {string} */ (resource.id);
    this.path = `/v1/simulations/${this.id}`;
    this.entities = /** @type {number} */ (resource.entities);
    this.tickMs = /** @type {number} */ (resource.tick_ms);
  }

  /**
   * 48 machines at twenty times the speed of life, unless `wanted` says otherwise, for as long as `check` takes.
   *
   * @param {Api} api
   * @param {object} wanted
   * @param {(farm: Farm) => Promise<void>} check
   */
  static async with(api, wanted, check) {
    const body = { name: "client", scenario: "weeding", entities: 48, tick_ms: 50, seed: 7, speed: 20, ...wanted };
    const farm = new Farm(api, await api.expect(201, "POST", "/v1/simulations", body));
    try {
      await check(farm);
    } finally {
      for (const stream of farm.#streams) stream.close();
      await api.call("DELETE", farm.path);
    }
  }

  /** @returns {Promise<any>} */
  resource() {
    return this.api.expect(200, "GET", this.path);
  }

  /**
   * `start`, `pause`, `resume`, `step` or `stop`.
   *
   * @param {string} action
   * @param {object} [body]
   */
  act(action, body = {}) {
    return this.api.expect(200, "POST", `${this.path}/${action}`, body);
  }

  /**
   * Gives a command; answers its seq.
   *
   * @param {object} command
   * @returns {Promise<number>}
   */
  async command(command) {
    return (await this.api.expect(202, "POST", `${this.path}/commands`, command)).seq;
  }

  /**
   * A stream of it.
   *
   * @param {string} [protocol]
   * @param {Record<string, string | number>} [query]
   */
  stream(protocol = JSON_PROTOCOL, query = {}) {
    return this.open({ offered: [protocol], query });
  }

  /**
   * A stream of it with any options.
   *
   * @param {StreamOptions} options
   */
  async open(options) {
    const stream = await Stream.open(this.api, this.id, options);
    this.#streams.push(stream);
    return stream;
  }

  /**
   * Of each log, the seq of the event that happens next; final in a simulation that stands.
   *
   * @returns {Promise<Record<string, number>>}
   */
  async nextEvents() {
    const stream = await this.stream();
    const hello = await stream.message("hello");
    stream.close();
    return { sim: hello.next_event, system: hello.next_system_event };
  }

  /**
   * Both logs by the REST API, once it has all events before these seqs.
   *
   * @param {Record<string, number>} until
   * @returns {Promise<Record<string, Map<number, any>>>}
   */
  async events(until) {
    for (;;) {
      /** @type {Record<string, Map<number, any>>} */
      const events = { sim: new Map(), system: new Map() };
      for (const item of await this.api.pages(`${this.path}/events`)) events[item.log].set(item.seq, item);
      if (Object.entries(until).every(([log, seq]) => Math.max(0, ...events[log].keys()) + 1 >= seq)) return events;
      // Between two questions: what has happened is in the database a moment later.
      await pause(50);
    }
  }

  /**
   * Runs until a tick, then pauses; answers the tick that it stands at.
   *
   * @param {number} tick
   * @returns {Promise<number>}
   */
  async runUntil(tick) {
    const watcher = await this.stream(JSON_PROTOCOL, { max_entities: 1 });
    await this.act("start");
    await watcher.until((message) => isTick(message) && message.tick >= tick, 120_000);
    watcher.close();
    return this.pause();
  }

  /**
   * Pauses; answers the tick that it stands at. The ticks that are under way come after the answer.
   *
   * @returns {Promise<number>}
   */
  async pause() {
    await this.act("pause");
    let tick = -1;
    for (let equal = 0; equal < STANDING; ) {
      const now = (await this.resource()).tick;
      equal = now === tick ? equal + 1 : 1;
      tick = now;
      // Between two questions.
      await pause(50);
    }
    return tick;
  }
}

/**
 * Reads events until both logs are complete up to these seqs.
 *
 * @param {Stream} stream
 * @param {Logs} logs
 * @param {Record<string, number>} until
 */
export async function readEvents(stream, logs, until) {
  const isComplete = () => Object.entries(until).every(([log, seq]) => logs.last[log] + 1 >= seq);
  while (!isComplete()) {
    const message = await stream.next();
    if (message.type === "hello") logs.hello(message);
    if (message.type === "event") logs.event(message);
    if (message.type === "events_missing") throw new Differs(`${JSON.stringify(message)}, and nothing is too old yet`);
  }
}

/**
 * Compares what was streamed with what the REST API lists.
 *
 * @param {Logs} logs
 * @param {Record<string, Map<number, any>>} listed
 */
export function sameEvents(logs, listed) {
  for (const log of ["sim", "system"]) {
    need(logs.events[log].size === listed[log].size, `${log}: ${logs.events[log].size} and ${listed[log].size}`);
    for (const [seq, item] of listed[log]) {
      const { type, ...event } = logs.events[log].get(seq) ?? {};
      need(type === "event" && item.seq === seq && item.tick === event.tick, `${log} ${seq}: ${type}`);
      for (const [key, value] of Object.entries(event)) {
        if (key in item) need(isSame(item[key], value), `${log} ${seq}: ${JSON.stringify([event, item])}`);
      }
    }
  }
}

/**
 * Whether two values of JSON are the same, in whatever order their fields stand.
 *
 * @param {any} one
 * @param {any} other
 * @returns {boolean}
 */
export function isSame(one, other) {
  if (one === null || typeof one !== "object") return one === other;
  if (other === null || typeof other !== "object") return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => isSame(one[key], other[key]));
}
