/** Chromium, and a test that opens the dashboard in it: its picture is kept, and whatever the page complains of fails it. */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join, normalize } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Dashboard } from "./dashboard.js";
import { PATIENCE_MS } from "./until.js";

/** Where pictures go, for people to look at. */
const PICTURES = process.env.BROWSER_PICTURES ?? "pictures";
/** A built dashboard that is shown in place of the server's own. */
const OTHER_DASHBOARD = process.env.BROWSER_DASHBOARD ?? "";
const CHROMIUM = process.env.BROWSER_CHROMIUM ?? "/usr/bin/chromium";
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** Rendering is by the processor, so that it is the same everywhere; as root there is no sandbox to be had. */
const USUAL_FLAGS = ["--headless=new", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox", "--disable-dev-shm-usage"];

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
    if (OTHER_DASHBOARD !== "") await serveOther(context, url);
    const page = await context.newPage();
    const complaints = listen(page);
    try {
      await body(new Dashboard(page, url), page);
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
    if (message.type() === "error") complaints.push(message.text());
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

/**
 * Shows another build of the dashboard, with the headers of the server's own.
 *
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} url
 */
async function serveOther(context, url) {
  await context.route(
    (asked) => asked.origin === url && (asked.pathname === "/" || asked.pathname.startsWith("/assets/")),
    async (route) => {
      const { pathname } = new URL(route.request().url());
      const answer = await route.fetch({ url: `${url}/` });
      const { "content-security-policy": policy = "" } = answer.headers();
      await route.fulfill({
        path: join(OTHER_DASHBOARD, normalize(pathname === "/" ? "/index.html" : pathname)),
        headers: { "content-security-policy": policy, "content-type": mediaType(pathname) },
      });
    },
  );
}

/** @param {string} pathname */
function mediaType(pathname) {
  if (pathname.endsWith(".js")) return "text/javascript; charset=utf-8";
  if (pathname.endsWith(".css")) return "text/css; charset=utf-8";
  if (pathname.endsWith(".svg")) return "image/svg+xml";
  return "text/html; charset=utf-8";
}
