/** What people type: shown as text whatever it is, and what is refused is said where it was typed. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

const MARKUP = `<img src=x onerror="alert(1)"><b>bold</b> & "quoted"`;

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
const refused = () => ({ browser, url: service.url, expected: [/status of 422/, /status of 400/] });

pageTest("a field that is refused says so itself", refused, async (dashboard, page) => {
  await dashboard.open();
  const form = dashboard.list;
  await form.getByLabel("Name").fill("to be refused");
  // What the schema forbids is said by the page alone ...
  const machines = form.getByLabel("Machines", { exact: true });
  await machines.fill("0");
  await form.getByRole("button", { name: "Create" }).click();
  await said(machines, /1,?000,?000/);
  await machines.fill("100");
  // ... and what only the server can know, by the server: it counts bytes.
  const name = form.getByLabel("Name");
  await name.fill("ü".repeat(150));
  await form.getByRole("button", { name: "Create" }).click();
  await said(name, /200 bytes/);
  assert.deepEqual((await service.api.call("GET", "/simulations")).items, []);
  await name.fill("not refused");
  await form.getByRole("button", { name: "Create" }).click();
  await dashboard.live();
  for (const { id } of (await service.api.call("GET", "/simulations")).items) await service.api.call("DELETE", `/simulations/${id}`);

  /**
   * @param {import("playwright-core").Locator} field
   * @param {RegExp} what
   */
  async function said(field, what) {
    await until("the field is marked", async () => (await field.getAttribute("aria-invalid")) === "true");
    const described = (await field.getAttribute("aria-describedby")) ?? "";
    const words = page.locator(`[id="${described}"]`);
    assert.equal(await words.getAttribute("role"), "alert");
    assert.match(await words.innerText(), what);
    assert.equal(await form.locator("[aria-invalid=true]").count(), 1, "it alone");
  }
});

pageTest("markup in a name is shown as text", here, async (dashboard, page) => {
  const { id } = await service.api.run({ name: MARKUP });
  // Two, for one alone would be opened at once.
  await service.api.run({ name: "<script>alert(2)</script>" });
  await dashboard.open();
  const list = dashboard.list.getByRole("list");
  await list.getByText(MARKUP, { exact: true }).waitFor();
  await list.getByText("<script>alert(2)</script>", { exact: true }).waitFor();
  await list.getByText(MARKUP, { exact: true }).click();
  await dashboard.live();
  assert.equal(await page.locator("header.bar b").innerText(), MARKUP);
  assert.ok((await page.title()).startsWith(MARKUP));
  await until("the address holds it", () => page.url().includes(id));
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.locator("header.bar b b").count(), 0);
});
