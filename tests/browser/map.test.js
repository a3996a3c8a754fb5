/** The map: machines are drawn and move, where the server says that they are; panned and zoomed, it asks for what is seen. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { differingPixels } from "./picture.js";
import { Service } from "./service.js";
import { until } from "./until.js";

/** A dot is 5 px wide and more; of each machine that is drawn or not, at least so many pixels differ. */
const PIXELS_A_MACHINE = 8;
const MACHINES = 200;

/** Different places at which the ring around the marked machine is drawn while one tick is shown; the most in two seconds. */
const PLACES_IN_A_TICK = `new Promise((resolve) => {
  const [ring, canvas] = [document.querySelector(".marker"), document.querySelector("[data-frame]")];
  const places = new Map();
  const observer = new MutationObserver(() => {
    const { frame } = canvas.dataset;
    places.set(frame, (places.get(frame) ?? new Set()).add(ring.style.transform));
  });
  observer.observe(ring, { attributes: true, attributeFilter: ["style"] });
  setTimeout(() => {
    observer.disconnect();
    resolve(Math.max(0, ...[...places.values()].map((known) => known.size)));
  }, 2000);
})`;

const PHONE = { width: 390, height: 844 };

/** Pixels of the ground that have the colour of the discs around chargers, amber on land; and those that a disc has at least. */
const PIXELS_OF_DISCS = `(() => {
  const ground = document.querySelector("canvas[aria-hidden=true]");
  const { data } = ground.getContext("2d").getImageData(0, 0, ground.width, ground.height);
  let pixels = 0;
  for (let n = 0; n < data.length; n += 4) {
    if (data[n] > 200 && data[n + 1] > 160 && data[n + 1] < 200 && data[n + 2] < 110) pixels += 1;
  }
  return pixels;
})()`;
const PIXELS_A_DISC = 100;

/** @type {Service} */
let service;
/** @type {import("playwright-core").Browser} */
let browser;
before(async () => {
  [service, browser] = await Promise.all([Service.up(), launch()]);
});
after(async () => {
  await browser?.close();
  await service?.close();
});
const here = () => ({ browser, url: service.url });

pageTest("machines are drawn, and the legend hides them", here, async (dashboard) => {
  const { id } = await service.api.run({ entities: MACHINES });
  await service.api.call("POST", `/simulations/${id}/pause`);
  await dashboard.open(id);
  await until("all are drawn", async () => (await dashboard.drawn()) === MACHINES);
  const shown = await still(dashboard);
  const states = dashboard.legend.getByRole("list", { name: "States" }).getByRole("button", { pressed: true });
  while ((await states.count()) > 0) await states.first().click();
  await until("none is drawn", async () => (await dashboard.drawn()) === 0);
  const hidden = await still(dashboard);
  const differing = differingPixels(shown, hidden);
  assert.ok(differing >= MACHINES * PIXELS_A_MACHINE, `${differing} pixels of ${MACHINES} machines`);
  await dashboard.legend.getByRole("button", { name: "Show all states" }).click();
  await until("they are drawn again as they were", async () => differingPixels(shown, await dashboard.picture()) === 0);
});

pageTest("machines move while it runs, and stand while it is paused", here, async (dashboard, page) => {
  const { id } = await service.api.run({ entities: MACHINES, speed: 20 });
  // By its site a machine has the same colour, whatever it does: what differs was moved.
  await dashboard.open(id, "&by=site");
  await until("all are drawn", async () => (await dashboard.drawn()) === MACHINES);
  const before = await dashboard.picture();
  const frame = (await dashboard.frame()) ?? 0;
  // Half of them travel or work at any time.
  const enough = (MACHINES / 2) * PIXELS_A_MACHINE;
  await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > frame + 400);
  await until("machines are elsewhere", async () => differingPixels(before, await dashboard.picture()) >= enough);
  await page.getByRole("button", { name: "Pause" }).click();
  await until("it is paused", async () => (await dashboard.status.innerText()) === "paused");
  const paused = await still(dashboard);
  await page.getByRole("spinbutton", { name: "Ticks of a step" }).fill("400");
  await page.getByRole("button", { name: "Step", exact: true }).click();
  await until("a step moves them", async () => differingPixels(paused, await dashboard.picture()) >= enough / 4);
});

pageTest("machines move evenly between ticks", here, async (dashboard, page) => {
  // Fewer than two ticks a second: what moves between them was put there by the page.
  const { id } = await service.api.run({ entities: MACHINES, tick_ms: 600, speed: 1 });
  await dashboard.open(id);
  const machine = await until("a machine travels", async () => {
    const { items } = await service.api.call("GET", `/simulations/${id}/entities?state=travelling&limit=1`);
    return items.length > 0 ? items[0].id : null;
  });
  await dashboard.tab("Machines");
  await page.getByRole("button", { name: `Machine ${machine}`, exact: true }).click();
  await dashboard.machine(machine).waitFor();
  await until("the map has come to it", async () => (await dashboard.camera()).pxPerM > 5);
  // As near as it goes: a machine travels by a few pixels a tick there.
  await page.getByRole("application").focus();
  for (let n = 0; n < 6; n += 1) await page.keyboard.press("+");
  await until("it is near", async () => (await dashboard.camera()).pxPerM === 60);
  await until("its ring moves within a tick", async () => (await page.evaluate(PLACES_IN_A_TICK)) > 3);
});

pageTest("panned and zoomed, the page asks for what is seen", here, async (dashboard, page) => {
  const { id } = await service.api.run({ entities: MACHINES });
  await dashboard.open(id);
  await until("the whole farm is asked for", () => dashboard.view !== null && (dashboard.view.bounds_m ?? null) === null);
  await until("all are drawn", async () => (await dashboard.drawn()) === MACHINES);
  const map = await dashboard.clear();
  const [x, y] = [map.x + map.width / 2, map.y + map.height / 2];
  await page.mouse.move(x, y);
  for (let n = 0; n < 10; n += 1) await page.mouse.wheel(0, -240);
  const zoomed = await until("a part is asked for", () => dashboard.view?.bounds_m ?? null);
  await until("a part is drawn", async () => (await dashboard.drawn()) < MACHINES);
  const settled = await settledView(dashboard);
  assert.ok(widthOf(settled) <= widthOf(zoomed));

  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - 200, y, { steps: 5 });
  await page.mouse.up();
  await until("what is east of it is asked for", () => {
    const bounds = dashboard.view?.bounds_m;
    return bounds !== undefined && bounds !== null && bounds[0] > settled[0] && Math.abs(widthOf(bounds) - widthOf(settled)) < 1;
  });

  await page.getByRole("application").focus();
  const east = await settledView(dashboard);
  await page.keyboard.press("ArrowUp");
  await until("what is north of it is asked for", () => (dashboard.view?.bounds_m?.[1] ?? east[1]) > east[1]);
  await page.keyboard.press("+");
  await until("less is asked for", () => {
    const bounds = dashboard.view?.bounds_m;
    return bounds !== undefined && bounds !== null && widthOf(bounds) < widthOf(east) - 1;
  });
  await page.keyboard.press("0");
  await until("the whole farm is asked for again", () => (dashboard.view?.bounds_m ?? null) === null);
  await until("all are drawn again", async () => (await dashboard.drawn()) === MACHINES);
});

pageTest("an address with a view in it opens that view", here, async (dashboard, page) => {
  const { id } = await service.api.run({ entities: MACHINES });
  await dashboard.open(id, "&x=100.0&y=-200.0&z=0.5&by=charge&tab=time&machine=3");
  await dashboard.machine(3).waitFor();
  assert.deepEqual(await dashboard.camera(), { x: 100, y: -200, pxPerM: 0.5 });
  assert.equal(await page.getByRole("tab", { name: "Time" }).getAttribute("aria-selected"), "true");
  assert.equal(await page.getByRole("combobox", { name: "Colour by" }).inputValue(), "charge");
  const bounds = await until("its part is asked for", () => dashboard.view?.bounds_m ?? null);
  const middle = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2];
  assert.ok(Math.hypot(middle[0] - 100, middle[1] + 200) < 5, `the middle of what is asked for is ${middle}`);
});

pageTest("ten thousand machines are drawn", here, async (dashboard) => {
  const { id } = await service.api.run({ entities: 10_000, speed: 1 });
  await dashboard.open(id);
  await until("all are drawn", async () => (await dashboard.drawn()) === 10_000);
  const frame = (await dashboard.frame()) ?? 0;
  await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > frame + 20);
  // The others are not to wait for it; were it deleted, the page would rightly complain.
  await service.api.call("POST", `/simulations/${id}/stop`);
});

pageTest("a charger at which machines queue is marked on the map", here, async (dashboard, page) => {
  const { id } = await service.api.run({ scenario: "dense", entities: MACHINES, speed: 20 });
  await until("some queue", async () => (await service.api.call("GET", `/simulations/${id}/entities?state=queueing&limit=1`)).items.length > 0);
  await service.api.call("POST", `/simulations/${id}/pause`);
  await dashboard.open(id);
  await until("all are drawn", async () => (await dashboard.drawn()) === MACHINES);
  const { items } = await service.api.call("GET", `/simulations/${id}/entities?state=queueing&limit=1`);
  assert.equal(items.length, 1, "they stand as they stood");
  await until("the ground has a disc", async () => (await page.evaluate(PIXELS_OF_DISCS)) >= PIXELS_A_DISC);
});

pageTest("each state says in the legend what it means", here, async (dashboard) => {
  const { id } = await service.api.run({ entities: MACHINES });
  await dashboard.open(id);
  const states = dashboard.legend.getByRole("list", { name: "States" }).getByRole("button");
  const said = await states.evaluateAll((buttons) => buttons.map((button) => [button.textContent, button.getAttribute("title")]));
  assert.equal(said.length, 10);
  const means = new Map(said.map(([name, title]) => [/^[a-z]+/.exec(name ?? "")?.[0], title?.split(". ")[0] ?? ""]));
  assert.match(means.get("holding") ?? "", /until its way is free, or was told to hold/);
  assert.equal(new Set(means.values()).size, 10, "each in its own words");
});

pageTest("on a phone the map comes first", () => ({ ...here(), context: { viewport: PHONE } }), async (dashboard, page) => {
  const { id } = await service.api.run({ entities: MACHINES });
  await dashboard.open(id);
  const [map, numbers] = await Promise.all([dashboard.canvas.boundingBox(), page.getByRole("complementary", { name: "Numbers" }).boundingBox()]);
  assert.ok(map !== null && numbers !== null && map.height >= 2 * numbers.height, `${map?.height} px of map, ${numbers?.height} px of numbers`);
  assert.equal(await dashboard.legend.getByRole("list", { name: "States" }).count(), 0);
  await dashboard.legend.getByRole("button", { name: "Legend and filter" }).click();
  await dashboard.legend.getByRole("list", { name: "States" }).waitFor();
});

/**
 * A picture in which nothing moves any more.
 *
 * @param {import("./dashboard.js").Dashboard} dashboard
 */
async function still(dashboard) {
  let last = await dashboard.picture();
  return until("the picture is still", async () => {
    const now = await dashboard.picture();
    const isStill = differingPixels(last, now) === 0;
    last = now;
    return isStill ? now : null;
  });
}

/** A view that was the same for so long, ms, is at rest: a slow browser takes the turns of a wheel one after the other. */
const REST_MS = 1_500;

/**
 * The bounds that are asked for once the address has held the same view for a while: the map then is at rest.
 *
 * @param {import("./dashboard.js").Dashboard} dashboard
 */
async function settledView(dashboard) {
  let [last, sinceMs] = ["", 0];
  return until("the view is at rest", async () => {
    const { x, y, pxPerM } = await dashboard.camera();
    const bounds = dashboard.view?.bounds_m ?? null;
    const now = JSON.stringify([x, y, pxPerM, bounds]);
    if (now !== last) [last, sinceMs] = [now, performance.now()];
    if (bounds === null || performance.now() - sinceMs < REST_MS) return null;
    const middle = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2];
    return Math.hypot(middle[0] - x, middle[1] - y) < 1 ? bounds : null;
  });
}

/** @param {[number, number, number, number]} bounds */
function widthOf(bounds) {
  return bounds[2] - bounds[0];
}
