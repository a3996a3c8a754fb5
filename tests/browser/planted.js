/**
 * Shows that the tests beside this file catch what they are there for: each patch of planted/ is a fault of the dashboard,
 * and the test that it names must fail of it with the words that it names. First the same tests must pass with the dashboard
 * as it is, built in the same way and waited for no longer: so none fails for slowness.
 *
 *     node planted.js            the few that tell most
 *     node planted.js --all      all but those that take minutes; that there is one for every test, too
 *     node planted.js NAME ...   those
 *
 * `.ci/browser --planted` sets what it needs: PLANTED_SOURCES, a copy of gateway/dashboard with what it is built by, and
 * PLANTED_SCRATCH, where faulty copies and their pictures go.
 */

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { NO_PAGE } from "./browser.js";

/** A view that does not move, events that are not resumed, a missing label: those that are waited for in vain at once. */
const TELLING = ["frozen-view", "no-resume", "missing-label"];
const SLOW = ["frames-kept", "memory-leak"];
const PATCHES = resolve("planted");
/** Where patches, which are made at the root of the repository, find the dashboard. */
const PLACE = "gateway/dashboard";
/** Waiting in vain is what a fault costs; tests of what is sound have the patience that they have by themselves. */
const PATIENCE = { BROWSER_PATIENCE_MS: process.env.BROWSER_PATIENCE_MS ?? "20000" };
const AT_ONCE = 2;
/** A build, or a file of tests, that takes longer hangs, ms. */
const LONGEST_MS = 300_000;
/** What stands in the place of a fault's name where there is none. */
const NOTHING = "nothing planted";
const NAME_WIDTH = 24;
/** Lines of a failure that are shown where it was another than the patch names. */
const LINES_SHOWN = 30;
/** The line by which a fault is caught is cut there: axe shows whole elements. */
const WIDTH_SHOWN = 160;

/** @typedef {{ name: string, file: string, test: string, words: string }} Fault a patch, and what its head says */
/** @typedef {{ name: string, failure: string | null }} Outcome of a test */

const sources = resolve(set("PLANTED_SOURCES"));
const scratch = resolve(set("PLANTED_SCRATCH"));
rmSync(scratch, { recursive: true, force: true });

const named = process.argv.slice(2);
const isAll = named[0] === "--all";
const known = readdirSync(PATCHES).map((file) => head(file.replace(/\.patch$/, "")));
const faults = isAll ? known.filter(({ name }) => !SLOW.includes(name)) : (named.length > 0 ? named : TELLING).map(head);
const sound = await build(copyOf("sound"));
const slow = known.filter(({ name }) => SLOW.includes(name)).map(({ file }) => file);
const files = isAll
  ? readdirSync(".").filter((file) => file.endsWith(".test.js") && !slow.includes(file))
  : [...new Set(faults.map(({ file }) => file))];
const doApply = await every(known, applies);
const isSound = doApply && (await every(files, (file) => control(file).catch((error) => tell(NOTHING, error.message, false))));
const isCaught = isSound && (await every(faults, (fault) => plant(fault).catch((error) => tell(fault.name, error.message, false))));
process.exitCode = isCaught ? 0 : 1;

/** @param {string} name */
function set(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; .ci/browser --planted sets it`);
  return value;
}

/**
 * @param {string} name
 * @returns {Fault}
 */
function head(name) {
  const text = readFileSync(join(PATCHES, `${name}.patch`), "utf8");
  const [, file, test] = /^Test: (\S+\.test\.js): (.+)$/m.exec(text) ?? [];
  const [, words] = /^Caught by: (.+)$/m.exec(text) ?? [];
  if (file === undefined || test === undefined || words === undefined) throw new Error(`${name}: its head names no test, or not what it is caught by`);
  return { name, file, test, words };
}

/**
 * A copy of the dashboard, in a tree as the repository's.
 *
 * @param {string} name
 */
function copyOf(name) {
  const tree = join(scratch, name);
  const copy = join(tree, PLACE);
  const apart = ["node_modules", "dist"].map((dir) => join(sources, dir));
  mkdirSync(copy, { recursive: true });
  cpSync(sources, copy, { recursive: true, filter: (from) => !apart.includes(from) });
  symlinkSync(join(sources, "node_modules"), join(copy, "node_modules"));
  return tree;
}

/**
 * Builds the dashboard of a tree.
 *
 * @param {string} tree
 * @returns {Promise<string>} where it is then
 */
async function build(tree) {
  const built = join(tree, "dist");
  const copy = join(tree, PLACE);
  const env = { ...process.env, AUTOFARM_DASHBOARD_OUT: built, NO_COLOR: "1" };
  const { code, said } = await call(join(copy, "node_modules/.bin/vite"), ["build"], { cwd: copy, env });
  if (code !== 0) throw new Error(`${tree} does not build:\n${said}`);
  return built;
}

/**
 * Runs tests of a file with a built dashboard.
 *
 * @param {string} file
 * @param {string[]} tests their names; all of them where there is none
 * @param {string} built
 * @param {string} pictures
 * @param {{ BROWSER_PATIENCE_MS?: string }} [patience] their own unless it is given
 * @returns {Promise<Outcome[]>} in the order in which they ran
 */
async function outcomes(file, tests, built, pictures, patience = {}) {
  const patterns = tests.map((test) => `--test-name-pattern=/^${escaped(test)}$/`);
  const env = { ...process.env, BROWSER_DASHBOARD: built, BROWSER_PICTURES: pictures, ...patience };
  const { said } = await call(process.execPath, ["--test", "--test-reporter=./told.js", ...patterns, file], { env });
  // What a test itself prints is not of the reporter.
  const lines = said.split("\n").filter((line) => line.startsWith('{"name":'));
  const ran = lines.map((line) => /** @type {Outcome} */ (JSON.parse(line))).filter(({ name }) => !name.endsWith(file));
  for (const test of tests) if (!ran.some(({ name }) => name === test)) throw new Error(`${file} did not run "${test}":\n${said}`);
  return ran;
}

/**
 * Whether the tests of a file that faults are to be caught by pass without them; where all faults are planted, whether each
 * of its tests has one.
 *
 * @param {string} file
 */
async function control(file) {
  const planted = known.filter((fault) => fault.file === file).map(({ test }) => test);
  const tests = isAll ? [] : faults.filter((fault) => fault.file === file).map(({ test }) => test);
  const ran = await outcomes(file, [...new Set(tests)], sound, join(scratch, "sound/pictures"));
  const failed = ran.filter(({ failure }) => failure !== null);
  const unproven = isAll ? ran.filter(({ name }) => !planted.includes(name)) : [];
  for (const { name, failure } of failed) tell(NOTHING, `${file}: ${name}: FAILS all the same:\n${failure}`);
  for (const { name } of unproven) tell(NOTHING, `${file}: ${name}: NO FAULT is planted that it would catch`);
  if (failed.length === 0) tell(NOTHING, `${file}: ${ran.length} passed`);
  return failed.length === 0 && unproven.length === 0;
}

/**
 * Puts a fault into a tree.
 *
 * @param {string} name
 * @param {string} tree
 * @param {string[]} flags
 */
function apply(name, tree, ...flags) {
  // Git must not take the copy for a part of this repository, of which it would pass over what is elsewhere.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: scratch };
  return call("git", ["apply", ...flags, join(PATCHES, `${name}.patch`)], { cwd: tree, env });
}

/**
 * Whether a fault can still be planted: one that is not this time must not be lost unseen.
 *
 * @param {Fault} fault
 */
async function applies({ name }) {
  const { code, said } = await apply(name, join(scratch, "sound"), "--check");
  return code === 0 || tell(name, `does not apply any more:\n${said}`, false);
}

/**
 * Whether a fault is caught, by what it names.
 *
 * @param {Fault} fault
 */
async function plant({ name, file, test, words }) {
  const tree = copyOf(name);
  const applied = await apply(name, tree);
  if (applied.code !== 0) return tell(name, `does not apply any more:\n${applied.said}`, false);
  const [outcome] = await outcomes(file, [test], await build(tree), join(tree, "pictures"), PATIENCE);
  const failure = outcome?.failure ?? null;
  if (failure === null) return tell(name, `NOT CAUGHT by ${file}: ${test}`, false);
  if (failure.includes(words) && !failure.startsWith(NO_PAGE)) return tell(name, `${file}: ${shown(failure, words)}`);
  return tell(name, `failed, but not by ${words}:\n${failure.split("\n").slice(0, LINES_SHOWN).join("\n")}`, false);
}

/**
 * The line of a failure that has the words in it.
 *
 * @param {string} failure
 * @param {string} words
 */
function shown(failure, words) {
  const line = failure.split("\n").find((line) => line.includes(words)) ?? words;
  return line.trim().slice(0, WIDTH_SHOWN);
}

/**
 * @param {string} name
 * @param {string} what
 * @param {boolean} isWell
 */
function tell(name, what, isWell = true) {
  console.log(`${name.padEnd(NAME_WIDTH)} ${what}`);
  return isWell;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

/**
 * Runs a program to its end; what it prints, on both ways.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {import("node:child_process").ExecFileOptions} options
 * @returns {Promise<{ code: number, said: string }>}
 */
function call(program, args, options) {
  return new Promise((done) => {
    execFile(program, args, { ...options, timeout: LONGEST_MS, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : 1, said: `${stdout}${stderr}` });
    });
  });
}

/**
 * Whether work on each is well, so many at a time; each is worked on, whatever becomes of the others.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {(item: Item) => Promise<boolean>} work
 */
async function every(items, work) {
  const left = [...items];
  let isWell = true;
  const goOn = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      const isDone = await work(item);
      isWell &&= isDone;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, goOn));
  return isWell;
}
