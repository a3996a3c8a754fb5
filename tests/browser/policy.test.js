/** The Content-Security-Policy: strict, and in force. That the page itself never meets it is part of every test here. */

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
  [service, browser] = await Promise.all([Service.up(), launch()]);
});
after(async () => {
  await browser?.close();
  await service?.close();
});
const breached = () => ({ browser, url: service.url, expected: [/Content Security Policy/i] });

pageTest("scripts and styles in the page, and other servers, are not let in", breached, async (dashboard, page) => {
  /** @type {string[]} */
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  await dashboard.open();
  await dashboard.list.waitFor();
  assert.deepEqual(said.filter((text) => /Content Security Policy/i.test(text)), [], "the page does not meet it");
  const answer = await fetch(service.url);
  const policy = answer.headers.get("content-security-policy") ?? "";
  for (const unsafe of ["'unsafe-inline'", "'unsafe-eval'", "http:", "https:"]) assert.ok(!policy.includes(unsafe), policy);
  await page.evaluate(`{
    const script = document.createElement("script");
    script.textContent = "window.wasRun = true";
    document.head.append(script);
    const style = document.createElement("style");
    style.textContent = "body { display: none }";
    document.head.append(style);
  }`);
  await until("it is said of both", () => said.filter((text) => /Content Security Policy/i.test(text)).length >= 2);
  assert.equal(await page.evaluate("window.wasRun"), undefined);
  assert.ok(await page.locator("body").isVisible());
  const reached = await page.evaluate(`fetch("http://127.0.0.1:9/").then(() => "reached", (error) => String(error))`);
  assert.notEqual(reached, "reached");
  await until("it is said of the other server", () => said.some((text) => /connect-src|default-src/.test(text)));
});
