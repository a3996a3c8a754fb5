/**
 * One live stream: opens it and gives what the gateway sends, decoded.
 *
 * @import { Ids, BinaryTick } from "./binary.js"
 * @import { Tick } from "./machines.js"
 * @import { Api } from "./rest.js"
 */

import WebSocket from "ws";

import { IDS, decodeIds, decodeTick } from "./binary.js";
import { isTick, tickOfJson } from "./machines.js";

export const JSON_PROTOCOL = "autofarm.v1.json";
export const BINARY_PROTOCOL = "autofarm.v1.bin";
const PATIENCE_MS = 30_000;
/** Messages that wait to be taken before the connection is read no further. */
const MAX_WAITING = 16;

/**
 * How a stream is opened.
 *
 * @typedef {{
 *   offered?: string[],
 *   query?: Record<string, string | number> | string,
 *   heard?: (message: Buffer | string) => void,
 * }} StreamOptions
 */

/** The gateway refused the stream. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} mediaType
   * @param {string} body
   */
  constructor(status, mediaType, body) {
    super(`${status}: ${body}`);
    this.status = status;
    this.mediaType = mediaType;
    this.body = body;
  }
}

/** The stream has ended; `code` is 1006 where it ended without a close frame. */
export class Closed extends Error {
  /**
   * @param {number} code
   * @param {string} reason
   */
  constructor(code, reason) {
    super(`closed: ${code} ${reason}`);
    this.code = code;
    this.reason = reason;
  }
}

/** A stream of one simulation. */
export class Stream {
  /** @type {Ids | undefined} */
  ids;
  /** @type {(Buffer | string)[]} */
  #waiting = [];
  /** @type {Closed | undefined} */
  #closed;
  /** @type {() => void} */
  #wake = () => {};
  #isHeld = false;

  /**
   * @param {WebSocket} socket
   * @param {string} simulation
   * @param {(message: Buffer | string) => void} heard
   */
  constructor(socket, simulation, heard) {
    this.socket = socket;
    this.simulation = simulation;
    socket.on("message", (data, isBinary) => {
      const bytes = /** @type {Buffer} */ (data);
      heard(isBinary ? bytes : bytes.toString("utf8"));
      this.#waiting.push(isBinary ? bytes : bytes.toString("utf8"));
      if (this.#waiting.length >= MAX_WAITING) socket.pause();
      this.#wake();
    });
    socket.on("close", (code, reason) => {
      this.#closed = new Closed(code, reason.toString("utf8"));
      this.#wake();
    });
    // A close follows every error.
    socket.on("error", () => {});
  }

  /**
   * Opens a stream, or throws `Refused`. `heard` is told every message as it comes.
   *
   * @param {Api} api
   * @param {string} simulation
   * @param {StreamOptions} [options]
   * @returns {Promise<Stream>}
   */
  static open(api, simulation, { offered = [JSON_PROTOCOL], query = {}, heard = () => {} } = {}) {
    const parameters = typeof query === "string" ? query : new URLSearchParams(stringly(query)).toString();
    const address = `${api.url.replace(/^http/, "ws")}/v1/simulations/${simulation}/stream`;
    const headers = api.token === undefined ? {} : { Authorization: `Bearer ${api.token}` };
    const socket = new WebSocket(parameters === "" ? address : `${address}?${parameters}`, offered, {
      headers,
      perMessageDeflate: false,
      handshakeTimeout: PATIENCE_MS,
    });
    const stream = new Stream(socket, simulation, heard);
    return new Promise((resolve, reject) => {
      socket.once("open", () => resolve(stream));
      socket.once("error", reject);
      socket.once("unexpected-response", (_, response) => {
        /** @type {Buffer[]} */
        const body = [];
        response.on("data", (chunk) => body.push(chunk));
        response.on("end", () => {
          const mediaType = (response.headers["content-type"] ?? "").split(";")[0];
          reject(new Refused(response.statusCode ?? 0, mediaType, Buffer.concat(body).toString("utf8")));
        });
      });
    });
  }

  /**
   * The next message: JSON as it is, ticks and `ids` decoded. Throws `Closed` behind the last one.
   *
   * @param {number} [patienceMs]
   * @returns {Promise<any>}
   */
  async next(patienceMs = PATIENCE_MS) {
    const ends = Date.now() + patienceMs;
    while (this.#waiting.length === 0) {
      if (this.#closed !== undefined) throw this.#closed;
      const left = ends - Date.now();
      if (left <= 0) throw new Error(`no message in ${patienceMs} ms`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
    const received = /** @type {Buffer | string} */ (this.#waiting.shift());
    if (this.#waiting.length < MAX_WAITING && this.socket.isPaused && !this.#isHeld) this.socket.resume();
    return typeof received === "string" ? this.#decodeText(received) : this.#decodeBinary(received);
  }

  /** @param {string} received */
  #decodeText(received) {
    const message = JSON.parse(received);
    if (message.type !== "tick") return message;
    if (this.socket.protocol === BINARY_PROTOCOL) throw new Error("a tick in JSON in the binary subprotocol");
    if (message.simulation_id !== this.simulation) throw new Error(`tick of ${message.simulation_id}`);
    return tickOfJson(message);
  }

  /** @param {Buffer} received */
  #decodeBinary(received) {
    if (this.socket.protocol !== BINARY_PROTOCOL) throw new Error("a binary message in the JSON subprotocol");
    if (received[0] === IDS) {
      if (this.ids !== undefined) throw new Error("ids came twice");
      this.ids = decodeIds(received);
      return this.ids;
    }
    if (this.ids === undefined) throw new Error("a tick before ids");
    return decodeTick(received, this.ids);
  }

  /**
   * The first message that is wanted; the others are passed over.
   *
   * @param {(message: any) => boolean} wanted
   * @param {number} [patienceMs]
   * @returns {Promise<any>}
   */
  async until(wanted, patienceMs = PATIENCE_MS) {
    const ends = Date.now() + patienceMs;
    for (;;) {
      const message = await this.next(Math.max(ends - Date.now(), 0));
      if (wanted(message)) return message;
    }
  }

  /**
   * The next message of this type that is no tick.
   *
   * @param {string} type
   */
  message(type) {
    return this.until((message) => message.type === type);
  }

  /**
   * The next tick.
   *
   * @returns {Promise<Tick & Partial<BinaryTick>>}
   */
  tick() {
    return this.until(isTick);
  }

  /**
   * Sends an object as JSON, a string as it is, bytes as a binary message.
   *
   * @param {object | string | Buffer} message
   */
  send(message) {
    this.socket.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /**
   * Code and reason with which the gateway closes; what comes before is passed over.
   *
   * @returns {Promise<[number, string]>}
   */
  async ended() {
    try {
      await this.until(() => false);
    } catch (error) {
      if (error instanceof Closed) return [error.code, error.reason];
      throw error;
    }
    throw new Error("it is never reached");
  }

  /** Reads nothing from here on. */
  hold() {
    this.#isHeld = true;
    this.socket.pause();
  }

  /** Reads again. */
  release() {
    this.#isHeld = false;
    this.socket.resume();
  }

  /** Loses the connection as a network does: no close frame. */
  drop() {
    this.socket.terminate();
  }

  /** Closes in order. */
  close() {
    this.release();
    this.socket.close(1000);
  }
}

/** @param {Record<string, string | number>} query */
function stringly(query) {
  return Object.entries(query).map(([name, value]) => [name, String(value)]);
}
