/**
 * Chromium with one page that nothing watches: no tool follows its network, whose answers the browser would keep for that
 * tool in the page's own memory. It is asked only when somebody wants to know something.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHROMIUM, USUAL_FLAGS } from "./browser.js";

/** Where the browser reads what it is asked, and writes its answers, each ended by a zero byte. */
const [ASKS, ANSWERS] = [3, 4];

export class UnwatchedPage {
  #profile = mkdtempSync(join(tmpdir(), "autofarm-chromium-"));
  /** @type {import("node:child_process").ChildProcess} */
  #browser;
  /** @type {Map<number, { resolve: (answer: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  #asked = 0;
  /** Why nothing is answered any more. @type {Error | null} */
  #over = null;
  /** Bytes of an answer of which the rest is still to come. @type {Buffer[]} */
  #part = [];
  #page = "";
  #worker = "";

  /** @param {{ width: number, height: number }} size */
  constructor({ width, height }) {
    const flags = [...USUAL_FLAGS, "--remote-debugging-pipe", `--user-data-dir=${this.#profile}`, `--window-size=${width},${height}`, "--no-first-run"];
    this.#browser = spawn(CHROMIUM, [...flags, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.#browser.once("exit", () => this.#fail(new Error("the browser has ended")));
    // What is asked of one that is just ending is lost; that it has ended is told above.
    /** @type {import("node:stream").Writable} */ (this.#browser.stdio[ASKS]).on("error", () => {});
    const answers = /** @type {import("node:stream").Readable} */ (this.#browser.stdio[ANSWERS]);
    answers.on("data", (/** @type {Buffer} */ bytes) => this.#receive(bytes));
  }

  /**
   * Opens an address. A page has one worker, which is there once the address is.
   *
   * @param {string} url
   */
  async open(url) {
    const { targetId } = await this.#ask("Target.createTarget", { url });
    ({ sessionId: this.#page } = await this.#ask("Target.attachToTarget", { targetId, flatten: true }));
    await this.#ask("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: true }, this.#page);
  }

  /**
   * What an expression is in the page.
   *
   * @param {string} expression
   */
  async value(expression) {
    const { result } = await this.#ask("Runtime.evaluate", { expression, returnByValue: true }, this.#page);
    return result.value;
  }

  /** What the scripts hold once their garbage is collected, MB, and what the document has. */
  async held() {
    const heapMb = await this.#heapMb(this.#page);
    const workerMb = await this.#heapMb(this.#worker);
    const { nodes, jsEventListeners: listeners } = await this.#ask("Memory.getDOMCounters", {}, this.#page);
    return { heapMb, workerMb, nodes, listeners };
  }

  /** @param {string} session */
  async #heapMb(session) {
    await this.#ask("HeapProfiler.collectGarbage", {}, session);
    const { usedSize } = await this.#ask("Runtime.getHeapUsage", {}, session);
    return usedSize / 1e6;
  }

  /** The processes of the page and of its graphics. Of the pages' processes one is spare, and has had nothing to do. */
  async pids() {
    /** @type {{ processInfo: { type: string, id: number, cpuTime: number }[] }} */
    const { processInfo } = await this.#ask("SystemInfo.getProcessInfo", {});
    const busiest = (/** @type {string} */ type) => {
      const [first] = processInfo.filter((each) => each.type === type).sort((a, b) => b.cpuTime - a.cpuTime);
      if (first === undefined) throw new Error(`the browser has no process for its ${type}`);
      return first.id;
    };
    return { tab: busiest("renderer"), gpu: busiest("GPU") };
  }

  async close() {
    const gone = new Promise((resolve) => this.#browser.once("exit", resolve));
    if (this.#browser.exitCode === null && this.#browser.signalCode === null) {
      this.#browser.kill("SIGKILL");
      await gone;
    }
    // Its other processes may still write for a moment.
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /**
   * @param {string} method
   * @param {object} params
   * @param {string} [sessionId] of the page or its worker; the browser's own without it
   * @returns {Promise<any>}
   */
  #ask(method, params, sessionId) {
    if (this.#over !== null) return Promise.reject(this.#over);
    this.#asked += 1;
    const id = this.#asked;
    const asks = /** @type {import("node:stream").Writable} */ (this.#browser.stdio[ASKS]);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      asks.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** @param {Buffer} bytes */
  #receive(bytes) {
    let from = 0;
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, from)) {
      const text = Buffer.concat([...this.#part, bytes.subarray(from, end)]).toString();
      this.#part = [];
      from = end + 1;
      this.#hear(JSON.parse(text));
    }
    this.#part.push(bytes.subarray(from));
  }

  /** @param {any} said */
  #hear({ id, result, error, method, params }) {
    if (method === "Target.attachedToTarget" && params.targetInfo.type === "worker") this.#worker = params.sessionId;
    const waits = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waits?.resolve(result);
    else waits?.reject(new Error(error.message));
  }

  /** @param {Error} error */
  #fail(error) {
    this.#over = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
