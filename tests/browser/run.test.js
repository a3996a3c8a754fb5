/** A simulation from the form to its end: made, seen to run, paused, stepped, faster, stopped. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { numberIn } from "./dashboard.js";
import { Service } from "./service.js";
import { until } from "./until.js";

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

pageTest("a simulation is made by the form, and runs", here, async (dashboard, page) => {
  await dashboard.open();
  await page.getByRole("heading", { name: "New simulation" }).waitFor();
  const form = dashboard.list;
  await form.getByRole("radio", { name: /Weeding/ }).check();
  await form.getByLabel("Name").fill("made by hand");
  await form.getByLabel("Machines", { exact: true }).fill("120");
  await form.getByRole("button", { name: "Create" }).click();
  await dashboard.live();
  await until("it runs", async () => (await dashboard.status.innerText()) === "running");
  const from = (await dashboard.frame()) ?? 0;
  await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > from + 10);
  assert.equal(await dashboard.drawn(), 120);
  const { items } = await service.api.call("GET", "/simulations");
  assert.deepEqual([items.length, items[0].name, items[0].entities, items[0].status], [1, "made by hand", 120, "running"]);
});

pageTest("a run is paused, stepped by so many ticks, and goes on", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 10 });
  await dashboard.open(id);
  await page.getByRole("button", { name: "Pause" }).click();
  await until("it is paused", async () => (await dashboard.status.innerText()) === "paused");
  const { tick } = await service.api.call("GET", `/simulations/${id}`);
  await until("the last tick is drawn", async () => (await dashboard.frame()) === tick && (await dashboard.tick()) === tick);
  await page.getByRole("spinbutton", { name: "Ticks of a step" }).fill("30");
  await page.getByRole("button", { name: "Step", exact: true }).click();
  await until("30 ticks more are drawn", async () => (await dashboard.frame()) === tick + 30);
  await page.getByRole("button", { name: "Resume" }).click();
  await until("it goes on", async () => ((await dashboard.frame()) ?? 0) > tick + 60);
});

pageTest("the speed is changed while it runs", here, async (dashboard, page) => {
  const { id } = await service.api.run({ speed: 1 });
  await dashboard.open(id);
  const achieved = page.locator("dl.clock div", { hasText: "Achieved" }).locator("dd");
  await until("it is known to go at the speed of life", async () => {
    const factor = numberIn(await achieved.innerText());
    return factor > 0.5 && factor < 2;
  });
  await page.getByRole("combobox", { name: "Speed" }).selectOption("20");
  await until("it goes much faster", async () => numberIn(await achieved.innerText()) > 8);
  assert.equal((await service.api.call("GET", `/simulations/${id}`)).speed, 20);
});

pageTest("a run is stopped for good, asked for twice", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  await dashboard.open(id);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByRole("button", { name: "Stop for good" }).click();
  await until("it is stopped", async () => (await dashboard.status.innerText()) === "stopped");
  assert.equal((await service.api.call("GET", `/simulations/${id}`)).status, "stopped");
  assert.equal(await page.getByRole("combobox", { name: "Speed" }).count(), 0);
});

pageTest("a run that had ended when it is opened says so, and its fork shows its machines", here, async (dashboard, page) => {
  const { id } = await service.api.run({ name: "of yesterday" });
  await until("it has done something", async () => (await service.api.call("GET", `/simulations/${id}`)).tick > 20);
  await service.api.call("POST", `/simulations/${id}/stop`);
  await until("its machines are not held any more", async () => (await service.api.call("GET", `/simulations/${id}/entities?limit=1`)).tick === null);
  await page.goto(`${service.url}/#sim=${id}`);
  await page.getByRole("heading", { name: "This run has ended" }).waitFor();
  const notice = page.getByRole("status").filter({ hasText: "This run has ended" });
  assert.match(await notice.innerText(), /It is stopped: as requested\./);
  const counted = await dashboard.legend.getByRole("list", { name: "States" }).getByRole("button").locator(".number").allInnerTexts();
  assert.ok(counted.length > 5 && counted.every((text) => text.startsWith("–")), counted.join());
  await notice.getByRole("button", { name: "Fork" }).click();
  await until("the fork is open", async () => (await dashboard.status.innerText()) === "paused");
  await dashboard.live();
  await until("its machines are drawn", async () => (await dashboard.drawn()) === 200);
});
