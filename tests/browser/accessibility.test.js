/** The main views as axe sees them: light, dark, and on a phone, without a serious finding. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";
import { DESKTOP, keep, launch, PHONE, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = ["serious", "critical"];
const MACHINES = 150;

/** @type {Service} */
let service;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {string} */
let simulation;
before(async () => {
  [service, browser] = await Promise.all([Service.up(), launch()]);
  ({ id: simulation } = await service.api.run({ name: "weeders", entities: MACHINES }));
  await service.api.run({ name: "another" });
  // So that there is one to be seen.
  const args = { component: "drive", for_s: 3000 };
  await service.api.call("POST", `/simulations/${simulation}/commands`, { entity: 2, command: "inject_fault", args });
});
after(async () => {
  await browser?.close();
  await service?.close();
});

/** @typedef {import("playwright-core").BrowserContextOptions} Look */
/** @type {[string, Look][]} */
const LOOKS = [
  ["light", { viewport: DESKTOP, colorScheme: "light" }],
  ["dark", { viewport: DESKTOP, colorScheme: "dark" }],
  ["phone", { viewport: PHONE, colorScheme: "light", isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
  ["dark phone", { viewport: PHONE, colorScheme: "dark", isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
];

for (const [look, context] of LOOKS) {
  pageTest(`axe finds nothing serious: ${look}`, () => ({ browser, url: service.url, context }), async (dashboard, page) => {
    /** @param {string} view */
    const check = async (view) => {
      await keep(page, `${look} ${view}`);
      assert.deepEqual(await findings(page), [], view);
    };
    await dashboard.open(simulation);
    await page.getByRole("img", { name: /^Machines in each state/ }).first().waitFor();
    await check("farm");
    await dashboard.tab("Machines");
    await page.getByRole("button", { name: "Machine 3", exact: true }).waitFor();
    await check("machines");
    await dashboard.tab("Events");
    await service.api.call("POST", `/simulations/${simulation}/commands`, { entity: 1, command: "hold" });
    await page.getByText(/#1 carried out command/).first().waitFor();
    await check("events");
    await dashboard.tab("Time");
    await page.getByRole("heading", { name: "Workers" }).waitFor();
    await check("time");
    await dashboard.open(simulation, "&machine=2");
    await page.reload();
    await dashboard.machine(2).getByTestId("machine-state").waitFor();
    await check("machine");
    await page.getByRole("button", { name: /^Simulations:/ }).click();
    await dashboard.list.getByRole("list").getByText("another").waitFor();
    await check("simulations");
    await dashboard.list.getByRole("button", { name: "New" }).click();
    await dashboard.list.getByLabel("Machines", { exact: true }).fill("0");
    await dashboard.list.getByRole("button", { name: "Create" }).click();
    await dashboard.list.locator("[aria-invalid=true]").first().waitFor();
    await check("form");
  });
}

pageTest("everything is reached by keys", () => ({ browser, url: service.url }), async (dashboard, page) => {
  await dashboard.open(simulation);
  /** @param {import("playwright-core").Locator} goal */
  const tabTo = async (goal) => {
    for (let n = 0; n < 60; n += 1) {
      await page.keyboard.press("Tab");
      if (await goal.evaluate((element) => element === document.activeElement)) return;
    }
    assert.fail(`60 steps do not reach ${goal}`);
  };
  await tabTo(page.getByRole("button", { name: "Visit a machine" }));
  await page.keyboard.press("Enter");
  const card = page.getByRole("region", { name: /^Machine \d+$/ });
  await card.waitFor();
  await tabTo(card.getByRole("button", { name: "Close machine" }));
  await page.keyboard.press("Enter");
  await card.waitFor({ state: "detached" });
  await tabTo(page.getByRole("application"));
  await page.keyboard.press("0");
  await until("the whole farm is shown", async () => (await dashboard.drawn()) === MACHINES);
  await tabTo(page.getByRole("tab", { name: "Farm" }));
  await page.keyboard.press("ArrowRight");
  await page.getByRole("region", { name: "Table of machines" }).waitFor();
  await tabTo(page.getByRole("button", { name: "Machine 1", exact: true }));
  await page.keyboard.press("Enter");
  await dashboard.machine(1).waitFor();
});

/**
 * What axe finds that is grave, in words.
 *
 * @param {import("playwright-core").Page} page
 * @returns {Promise<string[]>}
 */
async function findings(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })").then((found) => /** @type {any} */ (found));
  assert.ok(passes.length > 10, "axe has looked");
  return violations
    .filter((/** @type {any} */ { impact }) => GRAVE.includes(impact))
    .flatMap((/** @type {any} */ { id, nodes }) => nodes.map((/** @type {any} */ node) => `${id}: ${node.html} ${node.failureSummary}`));
}
