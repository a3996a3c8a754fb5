/** The AsyncAPI document by itself: valid, of one mind with docs/stream.md, and strict enough to see a drift. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Document, Invalid, PATH } from "./document.js";

const text = readFileSync(PATH, "utf8");
const page = readFileSync(new URL("../../../docs/stream.md", import.meta.url), "utf8");
const document = await Document.read(text);

test("its examples are what its schemas say", () => {
  for (const [name, message] of Object.entries(document.json.components.messages)) {
    for (const { payload } of message.examples ?? []) assert.equal(document.differs(name, payload), undefined, name);
  }
});

test("a document with a fault is refused", async () => {
  await assert.rejects(Document.read(text.replace("action: send", "action: shout")), Invalid);
  await assert.rejects(Document.read(text.replace("#/components/schemas/Hello", "#/components/schemas/Hullo")), Invalid);
  await assert.rejects(Document.read(text.replace("method: GET", "method: FETCH")), Invalid);
});

test("a field that is renamed, missing, new or of another type is seen", () => {
  const [{ payload: tick }] = document.message("tick").examples;
  const { battery, ...rest } = tick.entities[0];
  const spoilt = [
    { ...tick, entities: [{ ...rest, charge: battery }] },
    { ...tick, entities: [rest] },
    { ...tick, entities: [{ ...rest, battery, wheels: 4 }] },
    { ...tick, entities: [{ ...rest, battery: "full" }] },
    { ...tick, entities: [{ ...tick.entities[0], state: "asleep" }] },
    { ...tick, aggregates: { ...tick.aggregates, by_state: { asleep: 1 } } },
    { ...tick, aggregates: { ...tick.aggregates, counters: { ...tick.aggregates.counters, naps: 1 } } },
  ];
  for (const each of spoilt) assert.notEqual(document.differs("tick", each), undefined, JSON.stringify(each));
  const [{ payload: event }] = document.message("event").examples;
  for (const detail of [{}, { state: "working", why: "so" }, { command_seq: 1 }]) {
    assert.notEqual(document.differs("event", { ...event, detail }), undefined, JSON.stringify(detail));
  }
});

test("codes and reasons of closing are those of the page", () => {
  const section = page.slice(page.indexOf("## Closing"), page.indexOf("## Bounds"));
  const told = [...section.matchAll(/^\| (\d{4}) \| (`.*?)\|/gm)];
  const ofPage = told.map(([, code, reasons]) => [Number(code), [...reasons.matchAll(/`(\w+)`/g)].map((one) => one[1])]);
  const ofDocument = document.json["x-close-codes"].map((/** @type {any} */ each) => [each.code, each.reasons]);
  assert.deepEqual(ofDocument, ofPage);
});

test("every message of the page stands in the document, and no other", () => {
  const quoted = [...page.matchAll(/"type":"(\w+)"/g)].map((one) => one[1]);
  const described = Object.values(document.json.components.messages)
    .map((message) => message.payload.properties?.type?.const ?? message.payload.oneOf?.[0].properties.type.const)
    .filter((type) => type !== undefined);
  assert.deepEqual([...new Set(described)].sort(), [...new Set(quoted)].sort());
});

test("what has no value is null, but for what the log of an event does not have", () => {
  const told = /A field that has no value is `null`; only events leave out what their log does not have\./;
  for (const each of [page, document.json.info.description]) assert.match(each.replace(/\s+/g, " "), told);
  const { schemas } = document.json.components;
  const closedOnes = ["Query", "BinaryQuery", "WantView", "WantBinaryView", "Ping"];
  for (const [name, schema] of Object.entries(schemas)) {
    if (closedOnes.includes(name) || schema.properties === undefined) continue;
    assert.deepEqual([...schema.required].sort(), Object.keys(schema.properties).sort(), name);
  }
  for (const event of schemas.Event.oneOf) {
    const isOfSystem = event.properties.log.const === "system";
    for (const field of ["site", "entities"]) assert.equal(field in event.properties, !isOfSystem, field);
  }
});

test("defaults of a view are those of the query", () => {
  for (const [query, want] of [["Query", "WantView"], ["BinaryQuery", "WantBinaryView"]]) {
    const [asked, wanted] = [query, want].map((name) => document.json.components.schemas[name].properties);
    for (const name of ["max_entities", "rate_hz"]) {
      const of = (/** @type {any} */ schema) => [schema.minimum, schema.maximum, schema.default];
      assert.deepEqual(of(asked[name]), of(wanted[name]), `${query}.${name}`);
    }
  }
});

/**
 * The rows of the table of the page that begins with these words, cell by cell.
 *
 * @param {string} head
 * @returns {string[][]}
 */
function table(head) {
  const begun = page.slice(page.indexOf(`\n| ${head}`) + 1);
  const [, , ...rows] = begun.slice(0, begun.indexOf("\n\n")).split("\n");
  assert.ok(rows.length > 0, `the page has no table that begins with ${head}`);
  return rows.map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/**
 * What a cell has in code.
 *
 * @param {string} cell
 * @returns {string[]}
 */
function words(cell) {
  return [...cell.matchAll(/`([\w.]+)`/g)].map((one) => one[1]);
}

test("states have the page's codes", () => {
  const ofPage = table("code | state").map(([code, state]) => [Number(code), ...words(state)]);
  const ofDocument = document.json.components.schemas.State.enum.map((/** @type {string} */ state, /** @type {number} */ code) => [code, state]);
  assert.deepEqual(ofDocument, ofPage);
});

test("status and cause go together as the page says", () => {
  const { Status, Cause, LifecycleDetail } = document.json.components.schemas;
  const ofPage = table("`status` | means").map(([status, , causes]) => ({ status: words(status)[0], causes: words(causes) }));
  assert.deepEqual(ofPage.map(({ status }) => status), Status.enum);
  assert.deepEqual(table("`cause` | says").flatMap(([cause]) => words(cause)).sort(), [...Cause.enum].sort());
  // The one that no event tells.
  const ofEvents = ofPage.map(({ status, causes }) => [status, causes.filter((cause) => cause !== "unrecoverable")]);
  const ofDocument = LifecycleDetail.oneOf.map((/** @type {any} */ { properties: { status, cause } }) => [status.const, cause.enum]);
  assert.deepEqual(ofDocument, ofEvents);
});

test("sums and counters are those of the page", () => {
  const named = table("field | unit").flatMap(([field]) => words(field));
  const { Aggregates, Counters } = document.json.components.schemas;
  assert.deepEqual(named.filter((name) => !name.startsWith(".")), Aggregates.required);
  assert.deepEqual(named.filter((name) => name.startsWith(".")).map((name) => name.slice(1)), Counters.required);
});

test("events, and what each says, are those of the page", () => {
  const { Event, Reason, SystemDetail } = document.json.components.schemas;
  const kinds = table("kind | log").map(([kind, log]) => [...words(kind), log]);
  assert.deepEqual(Event.oneOf.map((/** @type {any} */ { properties: { kind, log } }) => [kind.const, log.const]), kinds);
  for (const [at, [, , , cell]] of table("kind | log").entries()) {
    const { detail } = Event.oneOf[at].properties;
    // What else an event of the kind `system` says is in a table of its own.
    const required = detail.oneOf === SystemDetail.oneOf ? ["event"] : ((detail.oneOf?.[0] ?? detail).required ?? []);
    for (const field of required) assert.ok(words(cell).includes(field), `${kinds[at][0]}: ${field}`);
  }
  assert.deepEqual(table("`reason` | the command").flatMap(([reason]) => words(reason)), Reason.enum);
  const told = table("`event` | happens").map(([event, , fields]) => ({ event: words(event)[0], fields: words(fields) }));
  assert.deepEqual(SystemDetail.oneOf.map((/** @type {any} */ each) => each.properties.event.const), told.map(({ event }) => event));
  for (const [at, { event, fields }] of told.entries()) {
    for (const field of SystemDetail.oneOf[at].required) if (field !== "event") assert.ok(fields.includes(field), `${event}: ${field}`);
  }
});
