/** Runs the files that are named, or all: two at a time, for the one that watches memory for minutes stands beside the others. */

import { readdirSync } from "node:fs";
import process from "node:process";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const AT_ONCE = 2;
/** A file that takes longer hangs, ms. */
const LONGEST_MS = 300_000;

const named = process.argv.slice(2);
const all = readdirSync(".").filter((name) => name.endsWith(".test.js"));
// It takes longest, so that it begins first.
const order = (/** @type {string} */ name) => (name.startsWith("memory") ? 0 : 1);
const files = named.length > 0 ? named : all.sort((a, b) => order(a) - order(b) || a.localeCompare(b));

run({ files, concurrency: AT_ONCE, timeout: LONGEST_MS })
  .on("test:fail", () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);
