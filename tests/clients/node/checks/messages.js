/**
 * What a client sends, and what it is answered.
 *
 * @import { Api } from "../rest.js"
 * @import { Stream } from "../stream.js"
 */

import { Farm, isSame, need } from "../farm.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL } from "../stream.js";

const BAD_MESSAGES = [
  "",
  "hello",
  "{",
  "[1]",
  '["ping"]',
  '{"type":"views"}',
  '{"type":"ping","colour":"red"}',
  '{"type":"view","colour":"red"}',
  '{"type":"view","events":"some"}',
  '{"type":"view","rate_hz":"fast"}',
];
const BAD_VIEWS = [
  { rate_hz: 0 },
  { rate_hz: 61 },
  { max_entities: 1_000_000_000 },
  { bounds_m: [0, 0, 20_000_000, 10] },
];
const MAX_BYTES = 16_384;
const MAX_FRAGMENTS = 32;

/**
 * Pings are answered, mistakes are named, and the stream goes on.
 *
 * @param {Api} api
 */
export function answered(api) {
  return Farm.with(api, {}, async (farm) => {
    for (const protocol of [JSON_PROTOCOL, BINARY_PROTOCOL]) {
      const stream = await farm.stream(protocol);
      for (const text of BAD_MESSAGES) {
        stream.send(text);
        await named(stream, "bad_message", text);
      }
      for (const view of BAD_VIEWS) {
        stream.send({ type: "view", ...view });
        await named(stream, "bad_view", JSON.stringify(view));
      }
      stream.send({ type: "ping" });
      need(isSame(await stream.message("pong"), { type: "pong" }), "a pong");
    }
  });
}

/**
 * The next answer is an error with this code.
 *
 * @param {Stream} stream
 * @param {string} code
 * @param {string} what
 */
async function named(stream, code, what) {
  const error = await stream.message("error");
  need(error.code === code && error.detail !== "", `${what}: ${JSON.stringify(error)}`);
}

/** @type {[number, string, (stream: Stream) => void][]} */
const ENDS = [
  [1003, "no_binary", (stream) => stream.send(Buffer.from([1, 2]))],
  [1007, "no_utf8", (stream) => stream.socket.send(Buffer.from([0xff, 0xfe]), { binary: false })],
  [1009, "frame_too_large", (stream) => stream.send(" ".repeat(MAX_BYTES + 1))],
  [1009, "message_too_large", (stream) => fragments(stream, [" ".repeat(MAX_BYTES), " "])],
  [1009, "too_many_fragments", (stream) => fragments(stream, Array(MAX_FRAGMENTS + 1).fill(" "))],
  [1000, "", (stream) => stream.socket.close(1000)],
];

/**
 * What a client must not send closes its stream with the code that the page names.
 *
 * @param {Api} api
 */
export function closed(api) {
  return Farm.with(api, {}, async (farm) => {
    for (const [code, reason, send] of ENDS) {
      const stream = await farm.stream();
      send(stream);
      await ends(stream, code, reason);
    }
  });
}

/**
 * @param {Stream} stream
 * @param {string[]} parts
 */
function fragments(stream, parts) {
  parts.forEach((part, n) => stream.socket.send(part, { fin: n === parts.length - 1 }));
}

/**
 * The end of a simulation is the end of its streams.
 *
 * @param {Api} api
 */
export function deleted(api) {
  return Farm.with(api, {}, async (farm) => {
    const streams = [await farm.stream(JSON_PROTOCOL), await farm.stream(BINARY_PROTOCOL)];
    for (const stream of streams) await stream.message("hello");
    await api.expect(204, "DELETE", farm.path);
    for (const stream of streams) await ends(stream, 1000, "deleted");
  });
}

/**
 * The stream ends so.
 *
 * @param {Stream} stream
 * @param {number} code
 * @param {string} reason
 */
async function ends(stream, code, reason) {
  const ended = await stream.ended();
  need(isSame(ended, [code, reason]), `closed with ${ended}, not ${code} ${reason}`);
}
