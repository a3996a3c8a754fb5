/** Where the server wants tokens: the page asks for one, says when it is wrong, and what a role may not do. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

/** @type {Service} */
let service;
/** @type {Record<string, string>} */
let tokens;
/** @type {import("playwright-core").Browser} */
let browser;
before(async () => {
  [{ service, tokens }, browser] = await Promise.all([Service.upWithTokens(), launch()]);
});
after(async () => {
  await browser?.close();
  await service?.close();
});
const refused = () => ({ browser, url: service.url, expected: [/status of 401/, /status of 403/] });

pageTest("a token is asked for, a wrong one is not taken, a right one is", refused, async (dashboard, page) => {
  const { id } = await service.api.run();
  await dashboard.open();
  const prompt = page.getByRole("dialog", { name: "A token is needed" });
  await prompt.getByText("This server answers only those who have one.").waitFor();
  await prompt.getByLabel("Token").fill("af_this-is-none-of-the-tokens");
  await prompt.getByRole("button", { name: "Use token" }).click();
  await prompt.getByText("The server did not take the token that this page has").waitFor();
  await prompt.getByLabel("Token").fill(tokens.operator);
  await prompt.getByRole("button", { name: "Use token" }).click();
  await dashboard.live();
  await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > 20);
  // It is written only when the view is at rest.
  await dashboard.camera();
  assert.ok(!page.url().includes("af_"), "no token stands in the address");
  // It is kept for the tab, and for no other.
  await page.reload();
  await dashboard.live();
  const other = await page.context().newPage();
  await other.goto(`${service.url}/#sim=${id}`);
  await other.getByRole("dialog", { name: "A token is needed" }).waitFor();
  await other.close();
  await service.api.call("POST", `/simulations/${id}/stop`);
});

pageTest("who may only look is told what else is needed", refused, async (dashboard, page) => {
  const { id } = await service.api.run();
  await page.goto(`${service.url}/#sim=${id}&machine=2`);
  const prompt = page.getByRole("dialog", { name: "A token is needed" });
  await prompt.getByLabel("Token").fill(tokens.viewer);
  await prompt.getByLabel("Token").press("Enter");
  await dashboard.live();
  const card = dashboard.machine(2);
  await card.getByRole("button", { name: "Give command" }).click();
  await card.getByRole("alert").getByText("Use a token of the role operator.").waitFor();
  assert.notEqual((await service.api.machine(id, 2)).now.state, "holding");
  await service.api.call("POST", `/simulations/${id}/stop`);
});
