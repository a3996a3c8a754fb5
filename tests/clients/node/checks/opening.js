/**
 * How a stream begins, and how it is refused.
 *
 * @import { Api } from "../rest.js"
 * @import { Stream } from "../stream.js"
 */

import { Farm, isSame, need } from "../farm.js";
import { isTick } from "../machines.js";
import { BINARY_PROTOCOL, JSON_PROTOCOL, Refused, Stream as Opened } from "../stream.js";

const NOBODY = "01970000-0000-7000-8000-000000000001";
const BAD_QUERIES = [
  "rate_hz=0",
  "rate_hz=61",
  "rate_hz=fast",
  "rate_hz=1&rate_hz=2",
  "max_entities=1000000000",
  "bounds_m=0,0,1",
  "bounds_m=0,0,1,x",
  "bounds_m=0,0,99999999,1",
  "events=some",
  "from_event=-1",
  "from_system_event=x",
  "from_epoch=-1",
  "colour=red",
];

/**
 * hello, ids in the binary one, then the newest tick, at once, though nothing runs.
 *
 * @param {Api} api
 */
export function begins(api) {
  return Farm.with(api, {}, async (farm) => {
    await farm.runUntil(1);
    const [text, binary, chosen] = [JSON_PROTOCOL, BINARY_PROTOCOL, "autofarm.v9.bin"];
    for (const [offered, taken] of [[[text], text], [[binary], binary], [[binary, text], binary], [[chosen, text], text]]) {
      const stream = await farm.open({ offered: /** @type {string[]} */ (offered) });
      need(stream.socket.protocol === taken, `offered ${offered}, got ${stream.socket.protocol}`);
      await begun(farm, stream);
    }
    await begun(farm, await farm.open({ offered: [] }));
  });
}

/**
 * Checks the first messages of a stream.
 *
 * @param {Farm} farm
 * @param {Stream} stream
 */
async function begun(farm, stream) {
  const hello = await stream.next();
  need(hello.type === "hello", `first ${JSON.stringify(hello)}`);
  // History is written meanwhile, though nothing runs.
  const written = { history_lag_ticks: 0 };
  const resource = await farm.resource();
  need(isSame({ ...hello.simulation, ...written }, { ...resource, ...written }), `hello is of ${JSON.stringify(hello.simulation)}`);
  need(hello.epochs.length === 0, `nobody has taken it over: ${JSON.stringify(hello.epochs)}`);
  need(hello.epoch >= 1 && hello.next_event >= 1 && hello.next_system_event >= 1, JSON.stringify(hello));
  let second = await stream.next();
  if (stream.socket.protocol === BINARY_PROTOCOL) {
    need(second === stream.ids, "ids are not the second message");
    need(second.simulation === farm.id && second.sites === hello.world.sites, `ids of ${second.simulation}`);
    need(isSame(second.worldM, hello.world.bounds_m), `${second.worldM}, and ${hello.world.bounds_m}`);
    second = await stream.next();
  }
  need(isTick(second) && second.tick === hello.simulation.tick && second.epoch === hello.epoch, "the newest tick comes then");
}

/**
 * Each refusal has its status and a problem as body.
 *
 * @param {Api} api
 */
export function refuses(api) {
  return Farm.with(api, {}, async (farm) => {
    await refused(404, "nobody", () => Opened.open(api, NOBODY));
    await refused(422, "graphql-ws", () => farm.open({ offered: ["graphql-ws"] }));
    for (const query of BAD_QUERIES) await refused(422, query, () => farm.open({ query }));
    const plain = await api.call("GET", `${farm.path}/stream`);
    need(plain.status === 426 && plain.mediaType === "application/problem+json", `a plain GET: ${plain.status}`);
  });
}

/**
 * Opens a stream that must be refused.
 *
 * @param {number} status
 * @param {string} why
 * @param {() => Promise<Stream>} open
 */
async function refused(status, why, open) {
  try {
    await open();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    need(error.status === status, `${why}: ${error.status}, not ${status}`);
    need(error.mediaType === "application/problem+json", `${why}: ${error.mediaType}`);
    need(JSON.parse(error.body).status === status, `${why}: ${error.body}`);
    return;
  }
  need(false, `${why} is not refused`);
}
