/** The dashboard as a person meets it: by roles and names, and by the pixels of its map. */

import { until } from "./until.js";

/** Left free around what lies over the map, px. */
const MARGIN_PX = 12;
/** Scale, buttons and notices lie over the lowest part of the map, px. */
const LOW_PX = 150;

/** @typedef {{ x: number, y: number, pxPerM: number }} Camera */
/** @typedef {{ type: "view", bounds_m?: [number, number, number, number] | null, max_entities?: number, rate_hz?: number }} View */

export class Dashboard {
  /** Views that the page has asked the stream for. @type {View[]} */
  views = [];

  /**
   * @param {import("playwright-core").Page} page
   * @param {string} url of the server
   */
  constructor(page, url) {
    this.page = page;
    this.url = url;
    this.canvas = page.getByTestId("machines");
    this.list = page.getByRole("dialog");
    this.connection = page.getByRole("status", { name: "Connection" });
    this.status = page.getByRole("status", { name: "Status of the simulation" });
    this.legend = page.getByRole("region", { name: "Legend" });
    page.on("websocket", (socket) =>
      socket.on("framesent", ({ payload }) => {
        if (typeof payload !== "string") return;
        const said = JSON.parse(payload);
        if (said.type === "view") this.views.push(said);
      }),
    );
  }

  /**
   * Opens the page, of a simulation if there is one, and waits until its machines are there.
   *
   * @param {string} [simulation]
   * @param {string} [rest] of the address
   */
  async open(simulation, rest = "") {
    await this.page.goto(simulation === undefined ? this.url : `${this.url}/#sim=${simulation}${rest}`);
    if (simulation !== undefined) await this.live();
  }

  /** Waits until the stream is there and a tick is drawn. */
  async live() {
    await until("the page is connected", async () => ["Live", "Connected"].includes(await this.connection.innerText()));
    await until("a tick is drawn", async () => (await this.frame()) !== null);
  }

  /** The tick that is drawn. */
  async frame() {
    const text = await this.canvas.getAttribute("data-frame");
    return text === null || text === "" ? null : Number(text);
  }

  /** Machines that are drawn. */
  async drawn() {
    return Number(await this.canvas.getAttribute("data-drawn"));
  }

  /** The tick that the bar shows. */
  async tick() {
    return numberIn(await this.page.getByTestId("tick").innerText());
  }

  /**
   * What the address holds, once the view is at rest and it says so.
   *
   * @returns {Promise<Camera>}
   */
  camera() {
    return until("the address holds the view", () => {
      const held = new URLSearchParams(new URL(this.page.url()).hash.slice(1));
      const [x, y, pxPerM] = [held.get("x"), held.get("y"), held.get("z")];
      return x === null || y === null || pxPerM === null ? null : { x: Number(x), y: Number(y), pxPerM: Number(pxPerM) };
    });
  }

  /** What the stream was asked for last. */
  get view() {
    return this.views.at(-1) ?? null;
  }

  /** The part of the map, in pixels of the page, over which nothing lies. */
  async clear() {
    const map = await this.canvas.boundingBox();
    const legend = await this.legend.boundingBox();
    if (map === null || legend === null) throw new Error("the map is not shown");
    const left = legend.x + legend.width + MARGIN_PX;
    const top = map.y + MARGIN_PX;
    const card = await this.page.getByRole("region", { name: /^Machine \d+$/ }).boundingBox({ timeout: 1 }).catch(() => null);
    const right = (card?.x ?? map.x + map.width) - MARGIN_PX;
    return { x: left, y: top, width: right - left, height: map.y + map.height - LOW_PX - top };
  }

  /** A picture of that part, of the machines alone: the ground may come later than they do, and an alert at any time. */
  async picture() {
    const clip = await this.clear();
    await this.#setOthers("hidden");
    const picture = await this.page.screenshot({ clip });
    await this.#setOthers("visible");
    return picture;
  }

  /** @param {"hidden" | "visible"} visibility of what else lies there */
  async #setOthers(visibility) {
    const alerts = this.page.getByRole("log", { name: "Alerts", includeHidden: true });
    await alerts.or(this.page.locator("canvas[aria-hidden=true]")).evaluateAll((others, visibility) => {
      for (const other of others) /** @type {HTMLElement} */ (other).style.visibility = visibility;
    }, visibility);
  }

  /**
   * Where a place of the world is on the page.
   *
   * @param {Camera} camera
   * @param {{ x: number, y: number }} place
   */
  async pointOf(camera, place) {
    const map = await this.canvas.boundingBox();
    if (map === null) throw new Error("the map is not shown");
    return {
      x: map.x + map.width / 2 + (place.x - camera.x) * camera.pxPerM,
      y: map.y + map.height / 2 - (place.y - camera.y) * camera.pxPerM,
    };
  }

  /** @param {"Farm" | "Machines" | "Events" | "Time"} name */
  async tab(name) {
    await this.page.getByRole("tab", { name }).click();
  }

  /** @param {number} id */
  machine(id) {
    return this.page.getByRole("region", { name: `Machine ${id}`, exact: true });
  }
}

/**
 * A number as the page writes it, with whatever it puts between thousands.
 *
 * @param {string} text
 */
export function numberIn(text) {
  return Number(text.replaceAll(/[^0-9.]/g, ""));
}
