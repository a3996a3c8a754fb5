/**
 * The moving picture of the README, from the real page: a crowded farm, then one machine of it, which is followed.
 *
 *   node clip.js http://127.0.0.1:8080 ../../docs/dashboard.webp
 *
 * It wants a running AutoFarm, chromium, and img2webp of Debian's package webp; `npm ci` comes first.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";

const [url, out] = process.argv.slice(2);
if (url === undefined || out === undefined) {
  console.error("usage: node clip.js URL OUT.webp");
  process.exit(2);
}

const SIZE = { width: 1120, height: 640 };
/** Seconds of each scene, and frames of one second. */
const SCENE_S = 6;
const FPS = 5;
/** Until then the plots have something to show, ms. */
const FILLED_AFTER_MS = 15_000;
/** Simulated seconds after which the farm is busy everywhere. */
const WARM_UP_S = 900;

/**
 * Asks the server; answers what it says.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
async function ask(method, path, body) {
  const answer = await fetch(new URL(path, url), {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

/** A farm in the middle of its work, at three times its pace. */
async function busyFarm() {
  const { id } = await ask("POST", "/v1/simulations", {
    name: "north farm", scenario: "dense", entities: 300, tick_ms: 50, seed: 11, speed: "max",
  });
  const path = `/v1/simulations/${id}`;
  await ask("POST", `${path}/start`, {});
  while ((await ask("GET", path)).sim_time_s < WARM_UP_S) await new Promise((done) => setTimeout(done, 100));
  await ask("PATCH", path, { speed: 3 });
  return { id, path };
}

/**
 * Pictures of the page, one after the other, as many as a scene has; answers their files and how long each stands.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} directory
 * @param {string} name
 */
async function record(page, directory, name) {
  const files = [];
  const begun = Date.now();
  for (let n = 0; n < SCENE_S * FPS; n += 1) {
    const due = begun + (n * 1000) / FPS;
    await page.waitForTimeout(Math.max(due - Date.now(), 0));
    const file = join(directory, `${name}${n}.png`);
    await page.screenshot({ path: file });
    files.push(file);
  }
  return { files, each_ms: Math.round((Date.now() - begun) / files.length) };
}

const directory = mkdtempSync(join(tmpdir(), "autofarm-picture-"));
const browser = await chromium.launch({
  executablePath: process.env.BROWSER_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"],
});
try {
  const farm = await busyFarm();
  const page = await browser.newPage({ viewport: SIZE });
  const drawn = () => page.waitForFunction(() => {
      const canvas = /** @type {HTMLElement | null} */ (document.querySelector("canvas[data-drawn]"));
      return Number(canvas?.dataset["drawn"]) > 0;
    });
  await page.goto(new URL(`/#sim=${farm.id}`, url).href);
  await drawn();
  await page.waitForTimeout(FILLED_AFTER_MS);
  const whole = await record(page, directory, "whole");
  const { items } = await ask("GET", `${farm.path}/entities?state=working&limit=1`);
  await page.goto("about:blank");
  const at = items[0].now;
  await page.goto(new URL(`/#sim=${farm.id}&x=${at.x}&y=${at.y}&z=12&machine=${items[0].id}&follow=1&tab=events`, url).href);
  await drawn();
  await page.waitForTimeout(2_000);
  const near = await record(page, directory, "near");
  await ask("DELETE", farm.path);
  const scenes = [whole, near].flatMap(({ files, each_ms }) => ["-d", String(each_ms), ...files]);
  execFileSync("img2webp", ["-loop", "0", "-lossy", "-q", "55", "-m", "6", ...scenes, "-o", out], { stdio: ["ignore", "ignore", "inherit"] });
} finally {
  await browser.close();
  rmSync(directory, { recursive: true });
}
