/**
 * A page that is kept open: what it and its gateway hold and cost, minute by minute, with a part of a great farm in view.
 *
 *   AUTOFARM_BINARY=../../target/release/autofarm node soak.js [MINUTES] [MACHINES] [IN_VIEW]
 *
 * 30 minutes, 100,000 machines and about 5,000 in view unless it is told otherwise. It starts an orchestrator, two workers
 * and a gateway of its own, and ends with 1 where what is held has grown. Ctrl-C ends it early, with what there is by then.
 * It wants chromium; `npm ci` comes first.
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { DESKTOP, launch } from "./browser.js";
import { Dashboard } from "./dashboard.js";
import { Service } from "./service.js";
import { UnwatchedPage } from "./unwatched.js";
import { until } from "./until.js";

const [minutes = 30, machines = 100_000, inView = 5_000] = process.argv.slice(2).map(Number);
if (![minutes, machines, inView].every((number) => number > 0)) {
  console.error("usage: node soak.js [MINUTES] [MACHINES] [IN_VIEW]");
  process.exit(2);
}

const MINUTE_MS = 60_000;
/** Windows of a fixed size fill until then; after it nothing has a reason to grow. */
const FILLED_AFTER_MIN = Math.min(10, Math.floor(minutes / 3));
/** What is held at the end over what was held once the windows were full, at most; and growth that says nothing, MB. */
const MOST_GROWTH = 1.2;
const SPARE_MB = 8;
/** Clock ticks in a second of processor time, as /proc counts it. */
const CLOCK_TICKS_PER_S = 100;
/** Of the view's share of the machines, so much is near enough. */
const NEAR_ENOUGH = 0.25;
const TRIES = 12;

/**
 * What a process holds of its own, MB, and the processor time that it has had, s.
 *
 * @param {number} pid
 */
function usage(pid) {
  const heldKb = Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return { heldMb: heldKb / 1000, cpuS: (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_S };
}

/**
 * Bytes that the gateway has sent to its clients.
 *
 * @param {string} url
 */
async function sentBytes(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return [...text.matchAll(/^autofarm_gateway_stream_bytes_total\S* (\S+)/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
}

/**
 * The address of a part of the farm that has about so many machines, and how many it has.
 *
 * @param {string} id
 * @param {{ x: number, y: number }} middle
 */
async function findPart(id, middle) {
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: DESKTOP });
    const dashboard = new Dashboard(page, service.url);
    let pxPerM = 0.2;
    for (let tried = 0; tried < TRIES; tried += 1) {
      const rest = `&x=${middle.x}&y=${middle.y}&z=${pxPerM.toFixed(4)}&tab=time`;
      await page.goto("about:blank");
      await dashboard.open(id, rest);
      // What is drawn first may be the whole farm; the view that is asked for comes with a later tick.
      await pause(3_000);
      const drawn = await dashboard.drawn();
      if (Math.abs(drawn / inView - 1) < NEAR_ENOUGH || inView >= machines) return { url: `${service.url}/#sim=${id}${rest}`, drawn };
      pxPerM *= Math.sqrt(Math.max(drawn, 1) / inView);
    }
  } finally {
    await browser.close();
  }
  throw new Error(`no part of this farm has about ${inView} machines`);
}

const service = await Service.roles();
const page = new UnwatchedPage(DESKTOP);
try {
  const { id } = await service.api.run({ entities: machines, tick_ms: 50, speed: 1 });
  const { now: middle } = await service.api.machine(id, Math.ceil(machines / 2));
  const { url, drawn } = await findPart(id, middle);
  await page.open(url);
  const frame = async () => Number(await page.value("document.querySelector('[data-testid=machines]')?.dataset.frame ?? 0"));
  await until("a tick is drawn", async () => (await frame()) > 0);
  const pids = { ...(await page.pids()), gateway: service.pid("gateway") };

  const look = async () => ({
    atMs: performance.now(),
    ...(await page.held()),
    tab: usage(pids.tab),
    gpu: usage(pids.gpu),
    gateway: usage(pids.gateway),
    sent: await sentBytes(service.url),
    frame: await frame(),
  });
  const begun = await look();
  const looks = [begun];
  const early = new AbortController();
  process.once("SIGINT", () => early.abort());
  console.log(`${machines} machines, ${drawn} of them in view; ${minutes} minutes`);
  console.log("minute    tick  heap MB  worker MB  nodes  listeners  tab MB  gpu MB  gateway MB");
  for (let minute = 1; minute <= minutes; minute += 1) {
    const minuteEnds = pause(Math.max(begun.atMs + minute * MINUTE_MS - performance.now(), 0), null, { signal: early.signal });
    if (!(await minuteEnds.then(() => true, () => false))) break;
    const last = looks.at(-1)?.frame ?? 0;
    await until("later ticks are drawn", async () => (await frame()) > last);
    const now = await look();
    looks.push(now);
    const held = [now.tab, now.gpu, now.gateway].map(({ heldMb }) => heldMb.toFixed(0));
    console.log(
      `${minute}`.padStart(6), `${now.frame}`.padStart(7), now.heapMb.toFixed(1).padStart(8), now.workerMb.toFixed(1).padStart(10), `${now.nodes}`.padStart(6),
      `${now.listeners}`.padStart(10), `${held[0]}`.padStart(7), `${held[1]}`.padStart(7), `${held[2]}`.padStart(11),
    );
  }
  const [full, end] = [looks[FILLED_AFTER_MIN] ?? begun, looks.at(-1) ?? begun];
  const lastedS = (end.atMs - full.atMs) / 1000;
  const share = (/** @type {"tab" | "gpu" | "gateway"} */ of) => `${(((end[of].cpuS - full[of].cpuS) / lastedS) * 100).toFixed(1)} %`;
  console.log(`of a processor: tab ${share("tab")}, gpu ${share("gpu")}, gateway ${share("gateway")}`);
  console.log(`sent: ${((end.sent - full.sent) / lastedS / 1000).toFixed(0)} kB/s; ticks: ${((end.frame - full.frame) / lastedS).toFixed(1)} a second`);
  const heldMb = (/** @type {typeof begun} */ at) => ({ heap: at.heapMb, worker: at.workerMb, tab: at.tab.heldMb, gateway: at.gateway.heldMb });
  const [before, after] = [heldMb(full), heldMb(end)];
  for (const what of /** @type {const} */ (["heap", "worker", "tab", "gateway"])) {
    const most = Math.max(before[what] * MOST_GROWTH, before[what] + SPARE_MB);
    const isFlat = after[what] <= most;
    console.log(`${what}: ${before[what].toFixed(1)} MB after ${FILLED_AFTER_MIN} min, ${after[what].toFixed(1)} MB at the end: ${isFlat ? "flat" : "GROWN"}`);
    if (!isFlat) process.exitCode = 1;
  }
} finally {
  await page.close();
  await service.close();
}
