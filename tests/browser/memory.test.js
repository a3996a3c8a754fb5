/** A page of a quick farm over two minutes, with every panel open in turn: what it holds does not grow. */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, pageTest } from "./browser.js";
import { Service } from "./service.js";
import { until } from "./until.js";

const LASTS_MS = 120_000;
/** By then the page has everything that it holds of a fixed size, but for the windows that fill over minutes. */
const EARLY_MS = 30_000;
/** Late over early, at most. What leaks here, leaks with every tick: some thousands of them. */
const MOST_GROWTH = 1.5;
/** Growth that says nothing, whatever the share. */
const SPARE = { heapBytes: 4_000_000, bufferBytes: 4_000_000, nodes: 500, listeners: 200 };

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

pageTest("memory is bounded", () => ({ browser, url: service.url }), async (dashboard, page) => {
  // Crowded, with frequent faults: hundreds of events a second.
  const { id } = await service.api.run({ scenario: "dense", entities: 640, speed: 20 });
  await dashboard.open(id, "&machine=7");
  const session = await page.context().newCDPSession(page);
  const tabs = /** @type {const} */ (["Events", "Time", "Machines", "Farm"]);
  const startedMs = performance.now();
  const goesOn = async () => {
    for (const tab of tabs) {
      await dashboard.tab(tab);
      const frame = (await dashboard.frame()) ?? 0;
      await until("later ticks are drawn", async () => ((await dashboard.frame()) ?? 0) > frame + 100);
    }
  };
  /** @param {number} untilMs after the start */
  const goesOnUntil = async (untilMs) => {
    while (performance.now() - startedMs < untilMs) await goesOn();
  };
  await goesOnUntil(EARLY_MS);
  const early = await held(session);
  const from = (await dashboard.frame()) ?? 0;
  await goesOnUntil(LASTS_MS);
  const late = await held(session);
  console.log("early", early, "late", late, "ticks between", ((await dashboard.frame()) ?? 0) - from);
  for (const what of /** @type {const} */ (["heapBytes", "bufferBytes", "nodes", "listeners"])) {
    const most = Math.max(early[what] * MOST_GROWTH, early[what] + SPARE[what]);
    assert.ok(late[what] <= most, `${what}: ${early[what]} early, ${late[what]} late, at most ${most}`);
  }
});

/**
 * What the page holds after its garbage is collected.
 *
 * @param {import("playwright-core").CDPSession} session
 */
async function held(session) {
  await session.send("HeapProfiler.collectGarbage");
  // Frames are in buffers, which are no part of the heap.
  const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
  return { heapBytes: usedSize, bufferBytes: backingStorageSize, nodes, listeners: jsEventListeners };
}
