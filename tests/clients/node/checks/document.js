/**
 * docs/asyncapi.yaml against the gateway: what it sends is what the document says, with no field more, and what the
 * document lets a client say is taken, and nothing else.
 *
 * @import { Api } from "../rest.js"
 * @import { Stream } from "../stream.js"
 */

import { Document } from "../document.js";
import { Farm, need } from "../farm.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL, Refused } from "../stream.js";

const CHANNELS = { json: JSON_PROTOCOL, binary: BINARY_PROTOCOL };
const ALL_EVENTS = { events: "all", from_event: 1, from_system_event: 1 };
const KINDS = ["transition", "command", "command_rejected", "fault", "repaired", "stand_off", "lifecycle", "system"];
const ERRORS = ["bad_message", "bad_view", "too_many_views"];
/** What comes only where a retention of events is over; the gateway's own tests provoke it. */
const UNSEEN = ["eventsMissing"];
/** Distinct views of a simulation beside the default one. */
const MAX_VIEWS = 64;
/** Simulated while a client reads nothing: more than the buffers of a connection hold. */
const TICKS_BEHIND = 1_500;
const PATIENCE_MS = 120_000;

/** What was heard on one channel, each held against the document as it came. */
class Ear {
  /** @type {Set<string>} */
  names = new Set();
  /** @type {Set<string>} */
  kinds = new Set();
  /** @type {Set<string>} */
  errors = new Set();
  /** @type {string[]} */
  faults = [];

  /**
   * @param {Document} document
   * @param {string} channel
   */
  constructor(document, channel) {
    this.document = document;
    /** @type {Map<string, string>} */
    this.named = new Map();
    for (const name of document.messages(channel, "send")) this.named.set(wireName(document.message(name)), name);
  }

  /** @param {Buffer | string} received */
  hear(received) {
    const isText = typeof received === "string";
    const message = isText ? JSON.parse(received) : undefined;
    const name = this.named.get(isText ? message.type : `binary ${received[0]}`);
    if (name === undefined) {
      this.faults.push(`no message of the document: ${isText ? received : received[0]}`);
      return;
    }
    this.names.add(name);
    if (!isText) return;
    if (name === "event") this.kinds.add(message.kind);
    if (name === "error") this.errors.add(message.code);
    const differs = this.document.differs(name, message);
    if (differs !== undefined) this.faults.push(`${name}: ${differs}: ${received.slice(0, 2_000)}`);
  }
}

/**
 * By what a message is known on the wire: the type of a text, the first byte of a binary one.
 *
 * @param {any} message
 * @returns {string}
 */
function wireName(message) {
  if (message.contentType === "application/octet-stream") return `binary ${/first byte is (\d+)/.exec(message.description)?.[1]}`;
  return (message.payload.oneOf?.[0] ?? message.payload).properties.type.const;
}

/**
 * Every message that is sent is as the document says, and every one of the document is sent.
 *
 * @param {Api} api
 */
export async function sent(api) {
  const document = await Document.read();
  for (const [channel, protocol] of Object.entries(CHANNELS)) {
    const ear = new Ear(document, channel);
    const heard = ear.hear.bind(ear);
    await Farm.with(api, { scenario: "dense", entities: 640 }, async (farm) => {
      const stream = await farm.open({ offered: [protocol], query: { ...ALL_EVENTS, rate_hz: 60 }, heard });
      await provokeEvents(farm, stream, ear);
      // So that no events wait while the stream is not read.
      await farm.act("pause");
      await provokeErrors(farm, stream, protocol, document);
      await farm.act("stop");
      await stream.until((message) => message.type === "event" && message.kind === "system", PATIENCE_MS);
    });
    await Farm.with(api, { entities: 2_400 }, async (farm) => {
      const slow = await farm.open({ offered: [protocol], query: { rate_hz: 60, max_entities: 2_400 }, heard });
      await slow.message("hello");
      slow.hold();
      await farm.runUntil(TICKS_BEHIND);
      slow.release();
      await slow.message("lagged");
    });
    need(ear.faults.length === 0, `${channel}: ${ear.faults.length} messages differ, the first: ${ear.faults[0]}`);
    const all = document.messages(channel, "send");
    for (const name of all) need(ear.names.has(name) !== UNSEEN.includes(name), `${channel}: ${name} did not come, or should not`);
    for (const kind of KINDS) need(ear.kinds.has(kind), `${channel}: no event of kind ${kind}`);
    for (const code of ERRORS) need(ear.errors.has(code), `${channel}: no error ${code}`);
  }
}

/**
 * Runs the farm with commands until each kind of its own events has come.
 *
 * @param {Farm} farm
 * @param {Stream} stream
 * @param {Ear} ear
 */
async function provokeEvents(farm, stream, ear) {
  await farm.act("start");
  await farm.command({ entities: [1, 2], command: "hold" });
  await farm.command({ entity: 5, command: "inject_fault", args: { component: "drive", for_s: 10 } });
  await farm.command({ entity: 3, command: "release" });
  const wanted = KINDS.filter((kind) => kind !== "system");
  await stream.until(() => wanted.every((kind) => ear.kinds.has(kind)), PATIENCE_MS);
}

/**
 * Each code of `error`, and a pong.
 *
 * @param {Farm} farm
 * @param {Stream} stream
 * @param {string} protocol
 * @param {Document} document
 */
async function provokeErrors(farm, stream, protocol, document) {
  stream.send("hello");
  stream.send({ type: "ping" });
  await stream.message("pong");
  stream.send({ type: "view", events: "all" });
  await stream.message("view");
  stream.send({ type: "view", rate_hz: 0 });
  // The document's example is the answer to this view, to the letter.
  const [{ payload: example }] = document.message("error").examples;
  const refused = await stream.message("error");
  need(refused.detail === example.detail, `the answer to a wrong view is ${refused.detail}, in the document ${example.detail}`);
  const others = [];
  for (let count = 1; count <= MAX_VIEWS; count += 1) {
    const other = await farm.open({ offered: [protocol], query: { max_entities: count } });
    await other.message("hello");
    others.push(other);
  }
  stream.send({ type: "view", max_entities: MAX_VIEWS + 1 });
  await stream.message("error");
  for (const other of others) other.drop();
}

/**
 * What the document lets a client say is taken, and what it does not is refused.
 *
 * @param {Api} api
 */
export async function taken(api) {
  const document = await Document.read();
  for (const [channel, protocol] of Object.entries(CHANNELS)) {
    const ear = new Ear(document, channel);
    await Farm.with(api, {}, async (farm) => {
      const stream = await farm.open({ offered: [protocol], heard: ear.hear.bind(ear) });
      for (const name of document.messages(channel, "receive")) {
        for (const said of variants(document.message(name))) {
          stream.send(said);
          const answer = await stream.until(({ type }) => ["view", "pong", "error"].includes(type));
          const differs = document.differs(name, said);
          const told = `${channel}: ${JSON.stringify(said)} is answered with ${JSON.stringify(answer)}`;
          need((answer.type === "error") === (differs !== undefined), `${told}, the document says ${differs ?? "it may be"}`);
        }
      }
    });
    need(ear.faults.length === 0, `${channel}: ${ear.faults[0]}`);
  }
}

/**
 * A client's message with each of its fields at, before and beyond its bounds, null, left out and of another type.
 *
 * @param {any} message
 * @returns {any[]}
 */
function variants(message) {
  const [{ payload: example }] = message.examples;
  const said = [...message.examples.map((/** @type {any} */ each) => each.payload), { ...example, colour: "red" }];
  for (const [field, schema] of Object.entries(message.payload.properties)) {
    if (field === "type") continue;
    const { [field]: _, ...without } = example;
    said.push(without);
    for (const value of [null, true, {}, "some", [], ...values(schema)]) said.push({ ...without, [field]: value });
  }
  return said;
}

/**
 * Values about the bounds of a schema.
 *
 * @param {any} schema
 * @returns {any[]}
 */
function values(schema) {
  if (schema.items !== undefined) {
    const { minimum, maximum } = schema.items;
    return [
      [minimum, minimum, maximum, maximum],
      [minimum - 1, minimum, maximum, maximum],
      [minimum, minimum, maximum, maximum + 1],
      [0, 0, 1],
      [0, 0, 1, 1, 1],
      ["0", 0, 1, 1],
    ];
  }
  if (schema.enum !== undefined) return [...schema.enum, 1];
  return [schema.minimum, schema.minimum - 1, schema.maximum, schema.maximum + 1, schema.minimum + 0.5];
}

/**
 * The query of the document is the one of /openapi.json, and the gateway keeps to its bounds.
 *
 * @param {Api} api
 */
export async function asked(api) {
  const document = await Document.read();
  const openapi = await api.expect(200, "GET", "/openapi.json");
  const { parameters } = openapi.paths["/v1/simulations/{id}/stream"].get;
  const query = document.json.components.schemas.Query.properties;
  const ofOpenapi = parameters.filter((/** @type {any} */ each) => each.in === "query");
  same("parameters", Object.keys(query), ofOpenapi.map((/** @type {any} */ each) => each.name));
  // It has one list for both subprotocols, with the wider bounds, those of the binary one.
  const wider = document.json.components.schemas.BinaryQuery.properties;
  for (const { name, schema } of ofOpenapi) {
    if (name === "bounds_m") continue;
    for (const bound of ["minimum", "maximum", "maxLength", "default"]) {
      need(schema[bound] === wider[name][bound], `${name}: ${bound} ${schema[bound]}, in the document ${wider[name][bound]}`);
    }
    if (wider[name].enum !== undefined) same(`values of ${name}`, wider[name].enum, schema.enum ?? []);
  }
  const [resource, described] = [openapi.components.schemas, document.json.components.schemas].map((all) => all.Simulation);
  same("fields of a simulation", Object.keys(described.properties), Object.keys(resource.properties));
  same("required fields of a simulation", described.required, resource.required);
  await Farm.with(api, {}, async (farm) => {
    for (const [channel, protocol] of Object.entries(CHANNELS)) {
      const { properties } = document.json.channels[channel].bindings.ws.query;
      for (const [name, schema] of Object.entries(properties)) {
        const inside = schema.enum ?? [schema.minimum, schema.maximum, ...(schema.examples ?? [])];
        const outside = schema.enum !== undefined ? ["some"] : [schema.minimum - 1, schema.maximum + 1];
        if (name === "ticket") continue;
        for (const value of inside.filter(isThere)) need(await opens(farm, protocol, name, value), `${channel}: ${name}=${value}`);
        for (const value of outside.filter(isThere)) need(!(await opens(farm, protocol, name, value)), `${channel}: ${name}=${value}`);
      }
    }
  });
}

/** @param {unknown} value */
function isThere(value) {
  return value !== undefined && !Number.isNaN(value);
}

/**
 * @param {string} what
 * @param {string[]} one
 * @param {string[]} other
 */
function same(what, one, other) {
  need([...one].sort().join() === [...other].sort().join(), `${what}: ${one} and ${other}`);
}

/**
 * Whether a stream opens with a parameter.
 *
 * @param {Farm} farm
 * @param {string} protocol
 * @param {string} name
 * @param {string | number} value
 */
async function opens(farm, protocol, name, value) {
  try {
    const stream = await farm.stream(protocol, { [name]: value });
    await stream.message("hello");
    stream.close();
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 422) return false;
    throw error;
  }
}
