/** A browser without WebGL2: a reason in the place of the map, and the machines in the table. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

/** @type {Service} */
let service;
/** @type {import("playwright-core").Browser} */
let browser;
before(async () => {
  [service, browser] = await Promise.all([Service.up(), launch(["--disable-3d-apis"])]);
});
after(async () => {
  await browser?.close();
  await service?.close();
});
const here = () => ({ browser, url: service.url });

pageTest("without WebGL2 there is a reason, and a table", here, async (dashboard, page) => {
  const { id } = await service.api.run();
  await page.goto(`${service.url}/#sim=${id}`);
  assert.equal(await page.evaluate(`document.createElement("canvas").getContext("webgl2")`), null);
  await page.getByRole("heading", { name: "The map cannot be drawn" }).waitFor();
  await page.getByText(/WebGL ?2/).first().waitFor();
  const table = page.getByRole("region", { name: "Table of machines" });
  await table.getByRole("button", { name: "Machine 1", exact: true }).waitFor();
  await until("the page is connected", async () => (await dashboard.connection.innerText()) === "Live");
  const from = await dashboard.tick();
  await until("the clock goes on", async () => (await dashboard.tick()) > from);
  await table.getByRole("button", { name: "Machine 3", exact: true }).click();
  const card = dashboard.machine(3);
  await card.getByTestId("machine-state").waitFor();
  await card.getByRole("button", { name: "Give command" }).click();
  await until("it is told what to do all the same", async () => {
    return (await card.getByTestId("machine-state").innerText()).toLowerCase() === "holding";
  });
});
