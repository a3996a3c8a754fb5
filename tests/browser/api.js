/** The few calls of the REST API by which tests prepare what the page then shows, and check what it has done. */

import assert from "node:assert/strict";

/** A simulation that tests make, unless they say otherwise: some hundred machines that go faster than life. */
const USUAL = { name: "field test", scenario: "weeding", entities: 200, tick_ms: 50, seed: 7, speed: 5 };

export class Api {
  /**
   * @param {string} url
   * @param {string} [token]
   */
  constructor(url, token) {
    this.url = url;
    this.token = token;
  }

  /**
   * Asks, and wants success.
   *
   * @param {string} method
   * @param {string} path below /v1
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.token !== undefined) headers.Authorization = `Bearer ${this.token}`;
    const answer = await fetch(`${this.url}/v1${path}`, { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  /**
   * Makes a simulation and starts it.
   *
   * @param {Record<string, unknown>} [given]
   * @returns {Promise<any>}
   */
  async run(given = {}) {
    const made = await this.call("POST", "/simulations", { ...USUAL, ...given });
    return this.call("POST", `/simulations/${made.id}/start`);
  }

  /**
   * Every machine, as it is now.
   *
   * @param {string} id of the simulation
   * @returns {Promise<{ id: number, now: { x: number, y: number, state: string } }[]>}
   */
  async machines(id) {
    const { items } = await this.call("GET", `/simulations/${id}/entities?limit=1000`);
    return items;
  }

  /**
   * A machine, as it is now.
   *
   * @param {string} id of the simulation
   * @param {number} machine
   * @returns {Promise<{ id: number, now: { x: number, y: number, state: string } }>}
   */
  machine(id, machine) {
    return this.call("GET", `/simulations/${id}/entities/${machine}`);
  }
}
