/** AutoFarm as processes of this machine, on free ports, with state in a directory that is removed afterwards. */

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Api } from "./api.js";
import { serveOther } from "./other_dashboard.js";
import { freePort } from "./ports.js";
import { PATIENCE_MS, until } from "./until.js";

/** A built dashboard that is shown in place of the server's own. */
const OTHER_DASHBOARD = process.env.BROWSER_DASHBOARD ?? "";
/** Lines of a log that are shown where a process has failed. */
const LINES_SHOWN = 40;

/** @returns {string} */
function binary() {
  const named = process.env.AUTOFARM_BINARY;
  if (named === undefined) throw new Error("AUTOFARM_BINARY has to name the server's binary; .ci/browser sets it");
  return named;
}

/** Settings of who runs the tests are not meant for what is tested. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("AUTOFARM_")));
}

export class Service {
  /** @type {Map<string, import("node:child_process").ChildProcess>} */
  #running = new Map();
  /** @type {Map<string, string[]>} */
  #commands = new Map();
  #files = mkdtempSync(join(tmpdir(), "autofarm-browser-"));
  /** Where pages and calls go. */
  url = "";
  #port = 0;
  /** @type {import("node:http").Server | null} */
  #proxy = null;
  /** @type {Api} */
  api = new Api("");

  /**
   * Every role in one process.
   *
   * @param {string[]} [flags]
   */
  static async up(flags = []) {
    const service = new Service();
    await service.#listen();
    service.#commands.set("up", ["up", "--listen", service.#host(), "--data-dir", service.#files, "--demo", "none", ...flags]);
    return service.#begin();
  }

  /** The same, where everybody needs a token; made is one of each of the roles. */
  static async upWithTokens() {
    const service = new Service();
    await service.#listen();
    /** @type {Record<string, string>} */
    const tokens = {};
    for (const role of ["viewer", "operator"]) {
      const said = await service.#call("token", "create", "--name", role, "--role", role, "--data-dir", service.#files);
      const token = /af_[0-9a-zA-Z_-]+/.exec(said);
      if (token === null) throw new Error(`no token is printed for ${role}`);
      tokens[role] = token[0];
    }
    const flags = ["--listen", service.#host(), "--data-dir", service.#files, "--demo", "none", "--require-tokens"];
    service.#commands.set("up", ["up", ...flags]);
    await service.#begin();
    service.api = new Api(service.url, tokens.operator);
    return { service, tokens };
  }

  /** An orchestrator, two workers and a gateway, each a process that can be killed. */
  static async roles() {
    const service = new Service();
    await service.#listen();
    const certs = join(service.#files, "certs");
    await service.#call("certs", "--out", certs);
    const database = `sqlite:${join(service.#files, "farm.db")}`;
    await service.#call("migrate", "--apply", "--database-url", database);
    const link = `127.0.0.1:${await freePort()}`;
    const among = ["--certs", certs];
    service.#commands.set("orchestrator", ["orchestrator", "--listen", link, "--database-url", database, ...among]);
    for (const name of ["worker-1", "worker-2"]) {
      service.#commands.set(name, ["worker", "--connect", link, "--name", name, "--threads", "1", ...among]);
    }
    service.#commands.set("gateway", ["gateway", "--connect", link, "--listen", service.#host(), "--database-url", database, ...among]);
    return service.#begin();
  }

  async #listen() {
    this.#port = await freePort();
    let asked = this.#port;
    if (OTHER_DASHBOARD !== "") {
      asked = await freePort();
      this.#proxy = await serveOther(OTHER_DASHBOARD, asked, this.#port);
    }
    this.url = `http://127.0.0.1:${asked}`;
    this.api = new Api(this.url);
  }

  #host() {
    return `127.0.0.1:${this.#port}`;
  }

  /**
   * Runs a command of the binary to its end; gives what it prints.
   *
   * @param {...string} args
   */
  async #call(...args) {
    const { stdout } = await promisify(execFile)(binary(), args, { env: environment(), timeout: PATIENCE_MS });
    return stdout;
  }

  async #begin() {
    try {
      for (const name of this.#commands.keys()) this.start(name);
      await this.ready();
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  /**
   * Starts a process, again after it was killed.
   *
   * @param {string} name
   */
  start(name) {
    const command = this.#commands.get(name);
    if (command === undefined) throw new Error(`there is no ${name}`);
    const log = openSync(join(this.#files, `${name}.log`), "a");
    const child = spawn(binary(), [...command, "--log", "warn"], { env: environment(), stdio: ["ignore", log, log] });
    this.#running.set(name, child);
  }

  /** Waits until it serves. */
  async ready() {
    await until("the service is ready", async () => {
      for (const [name, child] of this.#running) {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${name} has ended:\n${this.#lastOf(name)}`);
      }
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      return answer !== null && answer.ok;
    });
  }

  /**
   * The number of a process.
   *
   * @param {string} name
   * @returns {number}
   */
  pid(name) {
    const pid = this.#running.get(name)?.pid;
    if (pid === undefined) throw new Error(`${name} does not run`);
    return pid;
  }

  /**
   * Kills a process as nothing else does: it cannot say goodbye.
   *
   * @param {string} name
   */
  async kill(name) {
    const child = this.#running.get(name);
    if (child === undefined) throw new Error(`${name} does not run`);
    this.#running.delete(name);
    await ended(child, "SIGKILL");
  }

  /** @param {string} name */
  #lastOf(name) {
    return readFileSync(join(this.#files, `${name}.log`), "utf8").split("\n").slice(-LINES_SHOWN).join("\n");
  }

  /** Ends it; nothing of it stays. */
  async close() {
    await Promise.all([...this.#running.values()].map((child) => ended(child, "SIGKILL")));
    this.#proxy?.closeAllConnections();
    this.#proxy?.close();
    rmSync(this.#files, { recursive: true, force: true });
  }
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
async function ended(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}
