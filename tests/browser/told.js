/** A reporter for programs: of each test that has run, one line of JSON with its name and what made it fail, null where nothing did. */

import { stripVTControlCharacters } from "node:util";

/** @param {AsyncIterable<{ type: string, data: any }>} events of node:test */
export default async function* told(events) {
  for await (const { type, data } of events) {
    // One that a pattern leaves out passes, and was skipped.
    if ((type !== "test:pass" && type !== "test:fail") || data.skip !== undefined) continue;
    const error = type === "test:fail" ? (data.details.error.cause ?? data.details.error) : null;
    const failure = error === null ? null : stripVTControlCharacters(String(error.message ?? error));
    yield `${JSON.stringify({ name: data.name, failure })}\n`;
  }
}
