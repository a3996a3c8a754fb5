/**
 * Keeps what is shown in step with the server: the list of simulations, the one that is open and its stream, the view that
 * is asked for, and the address of the page. The one module that the stream's worker talks to.
 */

import { batch, effect } from "@preact/signals";
import type { Simulation } from "../api/client";
import { asProblem } from "../api/problem";
import { askedBounds, type Camera, type Size } from "../map/camera";
import type { FarmMap } from "../map/farm_map";
import type { Hello } from "../protocol/messages";
import type { FromWorker, MachineFrame, View } from "../stream/channel";
import { Link } from "../stream/link";
import type { Voided } from "../stream/session";
import { Burst } from "./burst";
import { MACHINE_LIMITS, openedAtOnce, type Place, readPlace, writePlace } from "./location";
import { loadClasses, loadPast } from "./lookup";
import { isMeant, isSlow, Lateness, occasionOf, PARTS_OF_SLOW, SLOW } from "./occasions";
import { alert, api, changePlace, handleSeen, needToken, seenMs, settle, shown, showSimulation, takeToken } from "./page";
import { refreshSelected, select, showSelected } from "./selection";
import * as state from "./state";
import { clearTimings, dropTimingsFrom, refreshTimings, ticksPerS } from "./timings";

const TOKEN_KEY = "autofarm.token";
const LIST_EVERY_MS = 3_000;
/** A list that nobody looks at, which may be long, is asked for only this often. */
const LIST_UNSEEN_MS = 30_000;
const SIMULATION_EVERY_MS = 1_000;
const TIMINGS_EVERY_MS = 2_000;
/** A page that nobody sees asks this much less often. */
const HIDDEN_FACTOR = 10;
const RATE_HZ = 10;
const HIDDEN_RATE_HZ = 1;
/** Above so many machines the farm's events are not asked for at first: there are more than anybody reads. */
const ALL_EVENTS_UP_TO = 20_000;

const link = new Link(handle);
let size: Size = { width: 0, height: 0 };
let isListed = false;
let listedAtMs = 0;
/** A run that has only begun, or got another speed, is too slow for a moment: only after so many answers it is said. */
const SLOW_AFTER = 5;
/** Answers in a row that tell of a run that is too slow. */
let slowAnswers = 0;
/** Answers in a row without the run, once a second, after which that is said. */
const SILENT_AFTER = 3;
let silentAnswers = 0;
/** Whether the fields of the open simulation were asked for in vain. */
let isWorldDue = false;
/** Where the run stood when it last had no worker: it goes on once it is beyond. */
let waitsAtTick = 0;
let lateness = new Lateness();
let burst = new Burst();
let againTimer: ReturnType<typeof setTimeout> | undefined;
/** From where on events of machines are not asked for; null where they are. */
let gapFromTick: number | null = null;
/** Most machines of the view that the server has; 0 where it refused one, for it is not said which it has then. */
let mostShown = 0;
/** Version and commit of the server as its first answer and its last had them. */
let firstVersion: string | null = null;
let lastVersion: string | null = null;

// Beginning

export function start(): void {
  api.token = sessionStorage.getItem(TOKEN_KEY);
  state.hasToken.value = api.token !== null;
  api.onUnauthorized = needToken;
  api.onVersion = handleVersion;
  handleSeen(!document.hidden);
  addEventListener("hashchange", () => follow(readPlace(location.hash)));
  document.addEventListener("visibilitychange", () => {
    handleSeen(!document.hidden);
    askView();
    if (document.hidden) return;
    link.retry();
    for (const wake of [...waiting]) wake();
  });
  addEventListener("online", () => link.retry());
  effect(() => {
    const written = writePlace(state.place.value);
    scheduleAddress(written);
  });
  effect(() => {
    const open = state.simulation.value;
    document.title = open === null ? "AutoFarm" : `${open.name} (${open.status}) – AutoFarm`;
  });
  repeat(LIST_EVERY_MS, async () => {
    const isLookedAt = state.isListOpen.value || state.place.value.simulation === null || !isListed;
    if (isLookedAt || performance.now() - listedAtMs > LIST_UNSEEN_MS) await refreshList();
    else await refreshWorkers();
  });
  effect(() => {
    if (state.isListOpen.value && isListed) void refreshList();
  });
  repeat(SIMULATION_EVERY_MS, refreshSimulation);
  repeat(TIMINGS_EVERY_MS, async () => {
    const open = state.simulation.value;
    if (state.isTokenNeeded.value) return;
    if (open !== null && state.status.value.phase === "open") await refreshTimings(api, open);
  });
  const { simulation } = state.place.value;
  if (simulation !== null) void open(simulation);
}

/** Goes where an address says that somebody typed, or went back to. */
function follow(place: Place): void {
  const isOther = place.simulation !== state.place.value.simulation;
  state.place.value = place;
  if (isOther) {
    if (place.simulation === null) leave();
    else void open(place.simulation);
    return;
  }
  if (place.camera !== null) shown.map?.setCamera(place.camera);
  if (place.machine !== (state.selected.value?.id ?? null)) select(place.machine, place.isFollowed);
  askView();
}

/** Says so where the server is of another version than this page, which may then lack something or show it wrong. */
function handleVersion(version: string): void {
  if (version === lastVersion) return;
  lastVersion = version;
  firstVersion ??= version;
  if (version === firstVersion && version.split("+")[0] === __VERSION__) return;
  const action = { label: "Reload", run: () => location.reload() };
  alert("version", "The server was updated. Reload the page to have what is new.", "warning", { lasts: "page", action });
}

/** Begins at once what is repeated and waits for its next turn. */
const waiting = new Set<() => void>();

/** Repeats work, one after the other, less often while nobody looks, and at once when somebody looks again. */
function repeat(everyMs: number, work: () => Promise<void>): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = async () => {
    clearTimeout(timer);
    waiting.delete(again);
    await work();
    timer = setTimeout(again, everyMs * (document.hidden ? HIDDEN_FACTOR : 1));
    waiting.add(again);
  };
  void again();
}

let addressTimer: ReturnType<typeof setTimeout> | undefined;

/** The address follows at rest, for browsers refuse to have it changed at every move of a hand. */
function scheduleAddress(written: string): void {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    if (location.hash !== written) history.replaceState(null, "", `${location.pathname}${written}`);
  }, 300);
}

export function setToken(token: string): void {
  api.token = token === "" ? null : token;
  if (api.token === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, api.token);
  state.hasToken.value = api.token !== null;
  takeToken();
  isListed = false;
  void refreshList();
  const id = state.place.value.simulation;
  if (id !== null) void open(id);
}

// The list, and which one to open

export async function refreshList(): Promise<void> {
  if (state.isTokenNeeded.value) return;
  try {
    const simulations = await api.simulations();
    listedAtMs = performance.now();
    batch(() => {
      state.simulations.value = simulations;
      state.listTrouble.value = null;
    });
    if (state.scenarios.value.length === 0) state.scenarios.value = (await api.scenarios()).items;
    state.workers.value = await api.workers();
  } catch (error) {
    state.listTrouble.value = asProblem(error).sentence;
    return;
  }
  if (!isListed) {
    isListed = true;
    if (state.place.value.simulation === null) {
      const first = openedAtOnce(state.simulations.value ?? []);
      if (first !== null) void open(first.id);
      else state.isListOpen.value = true;
    }
  }
}

async function refreshWorkers(): Promise<void> {
  if (state.isTokenNeeded.value) return;
  const workers = await api.workers().catch(() => null);
  if (workers !== null) state.workers.value = workers;
}

async function refreshSimulation(): Promise<void> {
  if (state.alertList.expire(seenMs())) state.alertVersion.value += 1;
  const open = state.simulation.value;
  if (open === null || state.isTokenNeeded.value || state.status.value.phase === "ended") return;
  try {
    const now = await api.simulation(open.id);
    showSimulation(now);
    endSilence();
    if (now.id === state.place.value.simulation) watchPace(now);
  } catch (error) {
    const problem = asProblem(error);
    // The stream says what is wrong with the connection, but is silent where only what is behind the server is gone.
    if (problem.status >= 500 && state.simulation.value?.id === open.id) handleSilence(problem.sentence);
  }
  await refreshSelected();
}

function handleSilence(why: string): void {
  silentAnswers += 1;
  if (silentAnswers < SILENT_AFTER) return;
  state.unanswered.value = why;
  if (silentAnswers === SILENT_AFTER) alert("unanswered", `Nothing new is heard of this run. ${why}`, "error", { lasts: "simulation" });
}

function endSilence(): void {
  if (silentAnswers >= SILENT_AFTER) settle("unanswered");
  silentAnswers = 0;
  state.unanswered.value = null;
}

/** Says that a run stands or is too slow only as long as it is. */
function watchPace(now: Simulation): void {
  if (now.tick > waitsAtTick) settle("no_worker");
  slowAnswers = isSlow(now) ? slowAnswers + 1 : 0;
  if (slowAnswers === 0) settle(SLOW.key);
  else if (slowAnswers > SLOW_AFTER) state.alertList.touch(SLOW.key, seenMs());
  else if (slowAnswers === SLOW_AFTER) {
    for (const key of PARTS_OF_SLOW) settle(key);
    alert(SLOW.key, SLOW.text, SLOW.severity);
  }
}

/** Opens a simulation: nothing of the last one stays. */
export async function open(id: string): Promise<void> {
  const isSame = state.place.value.simulation === id;
  forget();
  batch(() => {
    const before = state.place.value;
    state.place.value = isSame ? before : { ...before, simulation: id, camera: null, machine: null, isFollowed: false, hiddenClasses: 0 };
    state.simulation.value = state.simulations.value?.find((one) => one.id === id) ?? null;
    state.isListOpen.value = false;
    state.status.value = { phase: "connecting", why: null, retryAtMs: null };
  });
  const { camera, machine } = state.place.value;
  if (camera !== null) shown.map?.setCamera(camera);
  if (machine !== null) select(machine, state.place.value.isFollowed);
  // As long as it is not known how many machines there are, their events are not asked for.
  state.wantsAllEvents.value = (state.simulation.value?.entities ?? Number.POSITIVE_INFINITY) <= ALL_EVENTS_UP_TO;
  link.open(id, api.token, view());
  await loadWorld(id);
}

/** Gets where the fields are; where that fails they are asked for again as soon as the stream is open. */
async function loadWorld(id: string): Promise<void> {
  isWorldDue = false;
  try {
    const world = await api.world(id);
    if (state.place.value.simulation !== id) return;
    if (world.layout !== null) state.layout.value = world.layout;
    settle("world");
  } catch (error) {
    const problem = asProblem(error);
    if (state.place.value.simulation !== id) return;
    isWorldDue = problem.status !== 404;
    // Where there is no answer at all, the page says so already.
    if (isWorldDue && problem.status !== 0) alert("world", `The farm's fields cannot be shown. ${problem.sentence}`);
  }
}

/** Shows no simulation. */
export function leave(): void {
  link.close();
  forget();
  batch(() => {
    state.place.value = { ...state.place.value, simulation: null, camera: null, machine: null, isFollowed: false };
    state.simulation.value = null;
    state.status.value = { phase: "ended", why: null, retryAtMs: null };
  });
}

function forget(): void {
  shown.map?.clear();
  slowAnswers = 0;
  endSilence();
  clearTimings();
  lateness = new Lateness();
  burst = new Burst();
  clearTimeout(againTimer);
  state.isBurst.value = false;
  gapFromTick = null;
  state.eventLog.clear();
  state.alertList.clear();
  batch(() => {
    state.fleet.value = null;
    state.layout.value = null;
    state.classNames.value = [];
    state.classOfRow.value = null;
    state.tick.value = null;
    state.selected.value = null;
    state.traffic.value = state.NO_TRAFFIC;
    state.drawn.value = 0;
    state.eventVersion.value += 1;
    state.alertVersion.value += 1;
  });
}

// The view

function view(): View {
  const { machineLimit } = state.place.value;
  const events = state.wantsAllEvents.value ? "all" : "system";
  if (document.hidden) return { boundsM: null, maxEntities: 0, rateHz: HIDDEN_RATE_HZ, events };
  const known = state.fleet.value;
  const camera = shown.map?.camera;
  const boundsM = known === null || camera === undefined || size.width === 0 ? null : askedBounds(camera, size, known.worldM);
  const maxEntities = state.noGraphics.value === null ? machineLimit : 0;
  return { boundsM, maxEntities, rateHz: RATE_HZ, events };
}

/** Asks for what is seen now. The worker sends no more than a few views a second. */
export function askView(): void {
  if (state.place.value.simulation === null) return;
  const camera = shown.map?.camera;
  link.setView(view(), camera === undefined ? [0, 0] : [camera.x, camera.y]);
}

export function handleCamera(camera: Camera, mapSize: Size): void {
  size = mapSize;
  // A map without a farm is nowhere.
  if (state.fleet.value === null) return;
  state.place.value = { ...state.place.value, camera };
  askView();
}

export function handleMap(map: FarmMap | null): void {
  shown.map = map;
  if (map === null) return;
  const { camera } = state.place.value;
  if (camera !== null) map.setCamera(camera);
}

export function setMachineLimit(machineLimit: Place["machineLimit"]): void {
  changePlace({ machineLimit });
  askView();
}

export function setWantsAllEvents(wantsAll: boolean): void {
  clearTimeout(againTimer);
  settle("fewer_events");
  const tick = state.tick.value?.tick ?? 0;
  if (!wantsAll) gapFromTick ??= tick;
  else if (gapFromTick !== null) {
    state.eventLog.addGap(gapFromTick, Math.max(tick, gapFromTick));
    state.eventVersion.value += 1;
    gapFromTick = null;
  }
  state.isBurst.value = false;
  state.wantsAllEvents.value = wantsAll;
  askView();
}

/** There were too many: fewer are asked for, and all of them again after a while. */
function handleBurst(): void {
  // Those that waited for this page are lost too.
  gapFromTick ??= state.eventLog.newestSimTick;
  setWantsAllEvents(false);
  state.isBurst.value = true;
  againTimer = setTimeout(() => setWantsAllEvents(true), burst.handle(performance.now()));
  const action = { label: "Show all again", run: () => setWantsAllEvents(true) };
  alert("fewer_events", "More happened than this page could take: for a while only events of the run itself are shown.", "warning", {
    lasts: "simulation",
    action,
  });
}

export function recycle(frame: MachineFrame): void {
  link.recycle(frame.buffer);
}

export function retry(): void {
  link.retry();
}

// What the stream says

function handle(message: FromWorker): void {
  switch (message.type) {
    case "status":
      state.status.value = message.status;
      if (message.status.phase === "token") needToken();
      if (message.status.phase === "ended") void refreshList();
      break;
    case "hello":
      handleHello(message.hello, message.voided);
      break;
    case "fleet":
      state.fleet.value = message.fleet;
      // Only now is it known what of the world is seen.
      askView();
      // And whether the machine that is looked at is in it.
      void refreshSelected();
      void loadClasses().then((classes) => classes !== null && link.setClasses(classes));
      break;
    case "frame":
      handleFrame(message.frame);
      break;
    case "events":
      state.eventLog.add(message.events, message.dropped);
      state.eventVersion.value += 1;
      for (const event of message.events) {
        const open = state.simulation.value;
        const occasion = occasionOf(event, lateness, open === null ? 1 : ticksPerS(open));
        const isSaid = occasion !== null && slowAnswers >= SLOW_AFTER && PARTS_OF_SLOW.includes(occasion.key);
        if (occasion !== null && !isSaid) alert(occasion.key, occasion.text, occasion.severity);
        if (occasion?.key === "no_worker") waitsAtTick = event.tick;
        if (event.kind !== "lifecycle") continue;
        // The run has another status than the one that was said to be wrong.
        if (occasion === null) settle("lifecycle");
        void refreshSimulation();
      }
      break;
    case "missing":
      alert("missing", `Events ${message.fromSeq} to ${message.toSeq} of the log ${message.log} are not kept any more.`);
      break;
    case "view":
      mostShown = message.maxEntities ?? 0;
      if (message.maxEntities === null) alert("view", `The server did not take the view: ${message.detail}.`, "warning", { lasts: "simulation" });
      else settle("view");
      break;
    case "fewer_events":
      handleBurst();
      break;
    case "traffic":
      // It counts since the stream was opened.
      if (message.traffic.malformed > state.traffic.value.malformed) {
        alert("malformed", "Messages of the stream cannot be read: the server may be of another version. Reload the page.", "error");
      }
      state.traffic.value = message.traffic;
      break;
  }
}

function handleHello(hello: Hello, voided: Voided | null): void {
  const isOfThis = hello.simulation.id === state.place.value.simulation;
  if (!isOfThis) return;
  takeToken();
  // A stream begins with the view that it was opened with; where that is one too many, a refusal follows.
  mostShown = view().maxEntities;
  if (isWorldDue) void loadWorld(hello.simulation.id);
  if (state.tick.value === null) void loadPast(hello);
  // What led to another status since may have happened unheard.
  if (isMeant(hello.simulation.cause)) settle("lifecycle");
  batch(() => {
    if (state.simulation.value === null) state.wantsAllEvents.value = hello.simulation.entities <= ALL_EVENTS_UP_TO;
    state.simulation.value = hello.simulation;
    if (!state.wantsAllEvents.value) gapFromTick ??= hello.simulation.tick;
    if (voided !== null) {
      state.eventLog.drop(voided);
      if (gapFromTick !== null) gapFromTick = Math.min(gapFromTick, voided.fromTick);
      dropTimingsFrom(voided.fromTick);
      state.machineSeries.dropFrom(voided.fromTick);
      state.eventVersion.value += 1;
      state.machineSamples.value += 1;
      alert("voided", `The orchestrator was restarted: what happened from tick ${voided.fromTick} on is void, and happens anew.`);
    }
  });
}

function handleFrame(frame: MachineFrame): void {
  const { tick, simTimeS, count, machines, sums } = frame;
  // A void frame is shown until the first one after it comes, and the machine that is looked at may be sampled in it.
  if (tick < (state.tick.value?.tick ?? 0)) state.machineSeries.dropFrom(tick);
  const now = { tick, simTimeS, count, machines, sums, isSample: isSample(frame) };
  state.tick.value = now;
  if (shown.map === null) return recycle(frame);
  shown.map.setFrame(frame, now.isSample);
  showSelected();
}

/**
 * Whether machines may be missing in a frame. A sample has as many as its view allows. That may be the view before, of which
 * a frame can come after the answer, or the server's default: each of them allows one of the numbers that can be chosen.
 */
function isSample({ count, machines }: MachineFrame): boolean {
  return count < machines && (count >= mostShown || MACHINE_LIMITS.some((limit) => limit === count));
}
