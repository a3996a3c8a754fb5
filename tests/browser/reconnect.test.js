/** Processes that are killed under the eyes of the page: it says so, comes back by itself, and goes on. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

/** What Chromium writes of a server that is not there. */
const NOT_THERE = [/ERR_CONNECTION_REFUSED/, /ERR_INTERNET_DISCONNECTED/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /WebSocket connection to/, /status of 50[0-9]/];

/** @type {Service} */
let service;
/** @type {import("playwright-core").Browser} */
let browser;
before(async () => {
  [service, browser] = await Promise.all([Service.roles(), launch()]);
});
after(async () => {
  await browser?.close();
  await service?.close();
});
const here = () => ({ browser, url: service.url, expected: NOT_THERE });

pageTest("the gateway is killed and started again: the page goes on by itself", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  await dashboard.open(id, "&machine=4");
  await page.evaluate("window.isTheSamePage = true");
  const shown = (await dashboard.frame()) ?? 0;
  await service.kill("gateway");
  await page.getByRole("heading", { name: "Disconnected" }).waitFor();
  assert.equal(await dashboard.connection.innerText(), "Disconnected");
  await page.getByRole("button", { name: /^Retry now/ }).first().waitFor();
  assert.equal(await dashboard.drawn(), 200, "what was seen last stays");
  service.start("gateway");
  await service.ready();
  await until("the page is connected again", async () => (await dashboard.connection.innerText()) === "Live");
  await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > shown + 20);
  await page.getByRole("heading", { name: "Disconnected" }).waitFor({ state: "detached" });
  assert.equal(await page.evaluate("window.isTheSamePage"), true, "it was not loaded anew");
  await dashboard.machine(4).waitFor();

  // Events come again as well.
  await dashboard.tab("Events");
  const card = dashboard.machine(4);
  await card.getByRole("combobox", { name: "Command" }).selectOption({ label: "hold" });
  await card.getByRole("button", { name: "Give command" }).click();
  await page.getByRole("list", { name: "Events" }).getByText("#4 carried out command 1").waitFor();
});

pageTest("what happened while the gateway was away is among the events afterwards", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  let looks = 0;
  page.on("requestfinished", (request) => {
    if (request.url().includes("/events?")) looks += 1;
  });
  await dashboard.open(id, "&tab=events");
  const events = page.getByRole("list", { name: "Events" });
  // What was before the page is asked for at once, and what the database did not have yet a moment later: from here on the
  // stream alone tells it.
  await events.getByText("Created: as requested").waitFor();
  await until("the last moment before the page is asked for", () => looks >= 2);
  await service.api.call("POST", `/simulations/${id}/commands`, { entity: 6, command: "hold" });
  await events.getByText("#6 carried out command 1").waitFor();
  // Its page shall come back late, so that what is missed is missed for certain.
  await page.context().setOffline(true);
  await service.kill("gateway");
  await page.getByRole("heading", { name: "Disconnected" }).waitFor();
  service.start("gateway");
  await service.ready();
  await service.api.call("POST", `/simulations/${id}/commands`, { entity: 8, command: "hold" });
  await until("it has happened", async () => {
    const { items } = await service.api.call("GET", `/simulations/${id}/events?kind=command`);
    return items.length === 2;
  });
  // Of the other log, too.
  await service.api.call("POST", `/simulations/${id}/pause`);
  await page.context().setOffline(false);
  await events.getByText("#8 carried out command 2").waitFor();
  await events.getByText("Paused: as requested").waitFor();
  assert.equal(await events.getByText("#6 carried out command 1").count(), 1, "none is shown twice");
});

pageTest("lost workers are said on the screen; the word can be dismissed, and settles when they are back", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  await dashboard.open(id);
  const alerts = page.getByRole("log", { name: "Alerts" });
  const lost = alerts.getByText(/^Worker .* was lost/);
  const none = alerts.getByText("No worker is there");
  await Promise.all(["worker-1", "worker-2"].map((name) => service.kill(name)));
  await none.waitFor();
  await lost.first().waitFor();
  const shown = (await dashboard.frame()) ?? 0;
  // A phone has no room for more than one, which says how many more there are, and each when it happened.
  const wide = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  await until("one is shown", async () => (await alerts.getByRole("button", { name: "Dismiss" }).count()) === 1);
  await alerts.getByText(/\d more$/).waitFor();
  await alerts.getByText(/^\d\d:\d\d:\d\d/).first().waitFor();
  if (wide !== null) await page.setViewportSize(wide);
  // One for each that had something.
  const words = alerts.locator("div").filter({ has: page.getByText(/^Worker .* was lost/) });
  await until("they are dismissed", async () => {
    if ((await lost.count()) === 0) return true;
    await words.getByRole("button", { name: "Dismiss" }).first().click();
    return false;
  });
  for (const name of ["worker-1", "worker-2"]) service.start(name);
  await until("the run goes on", async () => ((await dashboard.frame()) ?? 0) > shown + 20);
  await none.waitFor({ state: "detached" });
});
