/** Chromium, and a test that opens the dashboard in it: its picture is kept, and whatever the page complains of fails it. */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Dashboard } from "./dashboard.js";
import { PATIENCE_MS } from "./until.js";

/** Where pictures go, for people to look at. */
const PICTURES = process.env.BROWSER_PICTURES ?? "pictures";
export const CHROMIUM = process.env.BROWSER_CHROMIUM ?? "/usr/bin/chromium";
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** Rendering is by the processor, so that it is the same everywhere; as root there is no sandbox to be had. */
export const USUAL_FLAGS = ["--headless=new", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox", "--disable-dev-shm-usage"];

/**
 * @param {string[]} [flags]
 * @returns {Promise<import("playwright-core").Browser>}
 */
export function launch(flags = []) {
  return chromium.launch({ executablePath: CHROMIUM, args: [...USUAL_FLAGS, ...flags] });
}

/**
 * @typedef {object} Opened
 * @property {import("playwright-core").Browser} browser
 * @property {string} url of the server
 * @property {import("playwright-core").BrowserContextOptions} [context]
 * @property {RegExp[]} [expected] what the page may write to the console as an error
 */

/** Begins what is said of a test that failed where the page did not come up. */
export const NO_PAGE = "nothing of the page is there";

/**
 * A test with a page of its own in the browser that is there by then.
 *
 * @param {string} name
 * @param {() => Opened} opened
 * @param {(dashboard: Dashboard, page: import("playwright-core").Page) => Promise<void>} body
 */
export function pageTest(name, opened, body) {
  test(name, async () => {
    const { browser, url, context: options, expected = [] } = opened();
    const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light", reducedMotion: "no-preference", ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const complaints = listen(page);
    try {
      await body(new Dashboard(page, url), page);
    } catch (error) {
      // That is the reason then, whatever was waited for.
      const isThere = (await page.locator("header.bar").count().catch(() => 0)) > 0;
      if (!isThere) throw new Error([NO_PAGE, ...complaints, error].join("\n"), { cause: error });
      throw error;
    } finally {
      await keep(page, name);
      await context.close();
    }
    const unexpected = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
    assert.deepEqual(unexpected, [], "what the page complains of");
  });
}

/**
 * Errors that a page writes to its console or does not catch. A breach of the Content-Security-Policy is among them.
 *
 * @param {import("playwright-core").Page} page
 * @returns {string[]} grows
 */
function listen(page) {
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog of the browser: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return complaints;
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function keep(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  const file = `${name.replaceAll(/[^a-z0-9]+/gi, "-")}.png`;
  await page.screenshot({ path: join(PICTURES, file) });
}
