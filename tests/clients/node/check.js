/**
 * Checks a running gateway against docs/stream.md, from which alone this client is written, and docs/asyncapi.yaml.
 *
 *     node check.js http://127.0.0.1:8080 [NAME ...]
 *
 * With names, only those checks run. AUTOFARM_TOKEN is sent where it is set. Exits with 1 where anything differs.
 */

import * as document from "./checks/document.js";
import * as events from "./checks/events.js";
import * as messages from "./checks/messages.js";
import * as opening from "./checks/opening.js";
import * as ticks from "./checks/ticks.js";
import * as views from "./checks/views.js";
import { Api } from "./rest.js";

/** Longest that one check may take. */
const CHECK_PATIENCE_MS = 240_000;

/** @type {Record<string, (api: Api) => Promise<void>>} */
const CHECKS = {
  "opening.begins": opening.begins,
  "opening.refuses": opening.refuses,
  "ticks.run": ticks.run,
  "ticks.lagged": ticks.lagged,
  "views.agree": views.agree,
  "messages.answered": messages.answered,
  "messages.closed": messages.closed,
  "messages.deleted": messages.deleted,
  "events.complete": events.complete,
  "events.ordered": events.ordered,
  "events.resumed": events.resumed,
  "document.sent": document.sent,
  "document.taken": document.taken,
  "document.asked": document.asked,
};

/**
 * Runs one check and prints what came of it.
 *
 * @param {string} name
 * @param {Api} api
 * @returns {Promise<boolean>}
 */
async function passes(name, api) {
  const begun = Date.now();
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${CHECK_PATIENCE_MS} ms`)), CHECK_PATIENCE_MS);
  });
  try {
    await Promise.race([CHECKS[name](api), late]);
  } catch (error) {
    console.log(`FAILED  ${name}: ${error}`);
    console.error(error);
    return false;
  } finally {
    clearTimeout(timer);
  }
  console.log(`ok      ${name}  ${((Date.now() - begun) / 1_000).toFixed(1)} s`);
  return true;
}

const [url, ...names] = process.argv.slice(2);
const unknown = names.filter((name) => !(name in CHECKS));
if (url === undefined || unknown.length > 0) {
  console.error(`usage: node check.js URL [NAME ...]; the names are ${Object.keys(CHECKS).join(", ")}`);
  process.exit(2);
}
const api = new Api(url, process.env.AUTOFARM_TOKEN);
let failed = 0;
for (const name of names.length > 0 ? names : Object.keys(CHECKS)) failed += Number(!(await passes(name, api)));
process.exit(failed > 0 ? 1 : 0);
