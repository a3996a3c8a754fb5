/** A machine: clicked or picked from the table, followed, commanded, broken. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { numberIn } from "./dashboard.js";
import { Service } from "./service.js";
import { until } from "./until.js";

/** A machine that is clicked stands at least so far from every other, px. */
const APART_PX = 20;

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

/** @param {string} text */
const stated = (text) => text.trim().toLowerCase();

pageTest("a machine is clicked where the server says that it is", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  await service.api.call("POST", `/simulations/${id}/pause`);
  await dashboard.open(id);
  const machines = await service.api.machines(id);
  await until("all are drawn", async () => (await dashboard.drawn()) === machines.length);
  const camera = await dashboard.camera();
  const clear = await dashboard.clear();
  const points = await Promise.all(machines.map(async (one) => ({ one, at: await dashboard.pointOf(camera, one.now) })));
  const alone = points.find(({ one, at }) => {
    const isClear = at.x > clear.x && at.x < clear.x + clear.width && at.y > clear.y && at.y < clear.y + clear.height;
    return isClear && points.every((other) => other.one === one || Math.hypot(other.at.x - at.x, other.at.y - at.y) > APART_PX);
  });
  assert.ok(alone, "a machine stands alone");
  await page.mouse.click(alone.at.x, alone.at.y);
  const card = dashboard.machine(alone.one.id);
  await card.waitFor();
  await until("it shows the state", async () => stated(await card.getByTestId("machine-state").innerText()) === alone.one.now.state);
  await until("the address holds it", () => new RegExp(`machine=${alone.one.id}(&|$)`).test(page.url()));
  await card.getByRole("button", { name: "Close machine" }).click();
  await card.waitFor({ state: "detached" });
});

pageTest("a machine is picked from the table, filtered by the server, and followed", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 10 });
  await dashboard.open(id);
  await dashboard.tab("Machines");
  const table = page.getByRole("region", { name: "Table of machines" });
  await page.getByRole("spinbutton", { name: "Site" }).fill("2");
  await until("the table has machines of site 2 alone", async () => {
    const sites = await table.locator("tbody tr td:last-child").allInnerTexts();
    return sites.length > 0 && sites.every((text) => text === "2");
  });
  const picked = table.getByRole("button", { name: /^Machine \d+$/ }).first();
  const machine = numberIn(await picked.innerText());
  await picked.click();
  const card = dashboard.machine(machine);
  await card.waitFor();
  await until("the map has come to it", async () => (await dashboard.camera()).pxPerM > 5);
  await card.getByRole("checkbox", { name: "Follow on the map" }).check();
  const from = await until("its surroundings are asked for", () => middle(dashboard));
  await until("the map goes with it", () => {
    const at = middle(dashboard);
    return at !== null && Math.hypot(at[0] - from[0], at[1] - from[1]) > 5;
  });
  await service.api.call("POST", `/simulations/${id}/pause`);
  const { now } = await service.api.machine(id, machine);
  await until("it stands in the middle of the map", () => {
    const at = middle(dashboard);
    return at !== null && Math.hypot(at[0] - now.x, at[1] - now.y) < 2;
  });
  await page.getByRole("application").press("f");
  await until("it is let go", async () => !(await card.getByRole("checkbox", { name: "Follow on the map" }).isChecked()));
});

pageTest("a link with follow finds its machine, though the place in it is an old one", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 5 });
  await page.goto(`${service.url}/#sim=${id}&x=5000&y=5000&z=9&machine=5&follow=1`);
  await dashboard.live();
  await until("the map has come to it, and goes with it", async () => {
    const at = middle(dashboard);
    const { now } = await service.api.machine(id, 5);
    return at !== null && Math.hypot(at[0] - now.x, at[1] - now.y) < 50;
  });
  await until("it is drawn", async () => (await dashboard.drawn()) > 0);
  assert.ok(await dashboard.machine(5).getByRole("checkbox", { name: "Follow on the map" }).isChecked());
});

pageTest("a command to all machines is answered for all of them, and not at the next machine", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 1 });
  await dashboard.open(id, "&machine=5");
  const card = dashboard.machine(5);
  await card.getByRole("combobox", { name: "For" }).selectOption({ label: "all machines" });
  await card.getByRole("button", { name: "Give command" }).click();
  const outcome = card.getByRole("status").filter({ hasText: "Taken as command" });
  await until("all hold", async () => {
    const text = await outcome.innerText();
    const [, done] = /Carried out by (\d+)\./.exec(text) ?? [];
    const [, rejected] = /Rejected by (\d+)/.exec(text) ?? [];
    return Number(done ?? 0) + Number(rejected ?? 0) === 200 && !text.includes("Not yet");
  });
  await dashboard.tab("Machines");
  await page.getByRole("button", { name: "Machine 7", exact: true }).click();
  await dashboard.machine(7).waitFor();
  assert.equal(await page.getByText("Taken as command").count(), 0);
});

pageTest("a command is answered with its number and tick, and the machine obeys", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 1 });
  await dashboard.open(id, "&machine=5");
  const card = dashboard.machine(5);
  const shown = card.getByTestId("machine-state");
  await until("it does something", async () => stated(await shown.innerText()) !== "holding");
  await card.getByRole("combobox", { name: "Command" }).selectOption({ label: "hold" });
  await card.getByRole("button", { name: "Give command" }).click();
  const outcome = card.getByRole("status").filter({ hasText: "Taken as command" });
  await outcome.waitFor();
  const said = /Taken as command\s+(\d+)\s+for tick\s+([\d,. ]+)\./.exec(await outcome.innerText());
  assert.ok(said, await outcome.innerText());
  const [seq, tick] = [Number(said[1]), numberIn(said[2].replaceAll(/[,.]/g, ""))];
  await until("it holds", async () => stated(await shown.innerText()) === "holding");
  await until("the answer says that it is carried out", async () => (await outcome.innerText()).includes("Carried out by 1."));
  assert.equal((await service.api.machine(id, 5)).now.state, "holding");
  const [event] = await until("the history has it", async () => {
    const { items } = await service.api.call("GET", `/simulations/${id}/events?kind=command`);
    return items.length > 0 ? items : null;
  });
  assert.deepEqual([event.detail.command_seq, event.tick, event.entities], [seq, tick, [5]]);

  await card.getByRole("combobox", { name: "Command" }).selectOption({ label: "release" });
  await card.getByRole("button", { name: "Give command" }).click();
  await until("it goes on", async () => stated(await shown.innerText()) !== "holding");
  await dashboard.tab("Events");
  await page.getByRole("list", { name: "Events" }).getByText(`#5 carried out command ${seq}`).first().waitFor();
});

pageTest("events that are not asked for are told from those that come, and the gap is marked", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 10 });
  await dashboard.open(id, "&tab=events");
  const wanted = page.getByRole("checkbox", { name: "Include events of single machines" });
  /** @param {string} kind */
  const said = async (kind) => (await page.getByRole("button", { name: kind, exact: true }).getAttribute("title")) ?? "";
  await until("they come", async () => (await wanted.isChecked()) && (await said("Faults")) === "");
  await wanted.uncheck();
  await until("they are said not to come", async () => (await said("Faults")) === "None comes now");
  assert.equal(await said("Run"), "");
  const from = (await dashboard.frame()) ?? 0;
  await until("time goes on", async () => ((await dashboard.frame()) ?? 0) > from + 20);
  await wanted.check();
  await page.getByRole("list", { name: "Events" }).getByText(/not shown between ticks/).waitFor();
});

pageTest("a command that is not taken says why at its form", here, async (dashboard) => {
  const { id } = await service.api.run();
  await dashboard.open(id, "&machine=5");
  const card = dashboard.machine(5);
  await card.getByRole("combobox", { name: "Command" }).selectOption({ label: "go to" });
  await card.getByRole("textbox", { name: "East, m" }).fill("nowhere");
  await card.getByRole("textbox", { name: "North, m" }).fill("0");
  await card.getByRole("button", { name: "Give command" }).click();
  await card.getByRole("alert").getByText("East, m: a number is wanted.").waitFor();
  assert.equal(await card.getByRole("textbox", { name: "East, m" }).getAttribute("aria-invalid"), "true");
  assert.deepEqual((await service.api.call("GET", `/simulations/${id}/events?kind=command`)).items, []);
});

pageTest("a fault that is injected is seen in the machine, the legend and the events", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 1 });
  await dashboard.open(id, "&machine=9&tab=events");
  const card = dashboard.machine(9);
  await card.getByRole("combobox", { name: "Command" }).selectOption({ label: "inject fault" });
  await card.getByRole("combobox", { name: "Component" }).selectOption("drive");
  await card.getByRole("textbox", { name: "For, s" }).fill("3000");
  await card.getByRole("button", { name: "Give command" }).click();
  await until("it is faulted", async () => stated(await card.getByTestId("machine-state").innerText()) === "faulted");
  assert.equal((await service.api.machine(id, 9)).now.state, "faulted");
  await until("the legend counts it", async () => {
    const text = await dashboard.legend.getByRole("button", { name: /^faulted/ }).innerText();
    return numberIn(text) >= 1;
  });
  const event = page.getByRole("list", { name: "Events" }).getByRole("button", { name: /#9 broke down, until tick/ }).first();
  await event.waitFor();
  // To look at another one meanwhile.
  await card.getByRole("button", { name: "Close machine" }).click();
  await card.waitFor({ state: "detached" });
  await event.click();
  await dashboard.machine(9).waitFor();
  const { now } = await service.api.machine(id, 9);
  await until("the map has come to where it happened", async () => {
    const { x, y, pxPerM } = await dashboard.camera();
    return pxPerM > 5 && Math.hypot(x - now.x, y - now.y) < 2;
  });
});

/**
 * Middle of what the stream is asked for.
 *
 * @param {import("./dashboard.js").Dashboard} dashboard
 * @returns {[number, number] | null}
 */
function middle(dashboard) {
  const bounds = dashboard.view?.bounds_m ?? null;
  return bounds === null ? null : [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2];
}
