/**
 * The worker that owns the stream: opens it, decodes what comes, keeps the newest tick only, opens it again. The page gets
 * frames that it can draw as they are, and never more than it has given back.
 */

/// <reference lib="webworker" />

import { decodeIds, decodeTick, IDS, type Ids, kindOf, Malformed, TICK } from "../protocol/frames";
import { type FarmEvent, readMessage } from "../protocol/messages";
import type { Fleet, FromWorker, Phase, ToWorker, Traffic, View } from "./channel";
import { Columns, frameBytes } from "./columns";
import { Session } from "./session";
import { viewMessage, viewQuery } from "./view";

const PROTOCOL = "autofarm.v1.bin";
/** Frames that may be with the page: one that is drawn, one that waits to be, one on its way. */
const FRAMES = 3;
/** Events are handed on this often, ms, and at most so many at once. */
const EVENTS_EVERY_MS = 250;
const MAX_EVENTS_AT_ONCE = 200;
/** What somebody has to know of, or waits for, is not dropped for others, but for more of it than the gateway lets wait. */
const MAX_WEIGHTY_AT_ONCE = 4_096;
const isWeighty = ({ log, kind }: FarmEvent) => log === "system" || kind === "command" || kind === "command_rejected";
const TRAFFIC_EVERY_MS = 1000;
/** Views are sent at most this often, ms, well below what the gateway allows. */
const VIEWS_EVERY_MS = 250;
/** A ping is sent when nothing came for so long, ms, and the connection given up when nothing comes for as long again. */
const PING_AFTER_MS = 10_000;
const OPEN_PATIENCE_MS = 20_000;
/** What is asked for over HTTP before or after a connection is waited for so long, ms. */
const ASK_PATIENCE_MS = 20_000;

declare const self: DedicatedWorkerGlobalScope;

const say = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, transfer);

class Stream {
  readonly #simulation: string;
  readonly #token: string | null;
  #view: View;
  #anchorM: [number, number] = [0, 0];
  readonly #session = new Session();
  #socket: WebSocket | null = null;
  #ids: Ids | null = null;
  #columns: Columns | null = null;
  #classOfRow: Uint8Array | null = null;
  #free: ArrayBuffer[] = [];
  #frames = 0;
  #newest: ArrayBuffer | null = null;
  #events: FarmEvent[] = [];
  #weighty = 0;
  #dropped = 0;
  #traffic: Traffic = { bytes: 0, messages: 0, undrawn: 0, lagged: 0, malformed: 0 };
  #retry: ReturnType<typeof setTimeout> | undefined;
  #viewTimer: ReturnType<typeof setTimeout> | undefined;
  #viewSentAt = 0;
  /** The view that the gateway has, as a message. */
  #viewSent = "";
  #heardAt = 0;
  /** When the hello of this connection came; null before it. */
  #greetedAt: number | null = null;
  #isPinged = false;
  #isClosed = false;
  readonly #timers: ReturnType<typeof setInterval>[];

  constructor(simulation: string, token: string | null, view: View) {
    this.#simulation = simulation;
    this.#token = token;
    this.#view = view;
    this.#timers = [setInterval(() => this.#handOnEvents(), EVENTS_EVERY_MS), setInterval(() => this.#everySecond(), TRAFFIC_EVERY_MS)];
    void this.#open();
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#retry);
    clearTimeout(this.#viewTimer);
    this.#socket?.close(1000);
  }

  /** Tries at once, where another try is waited for. */
  retry(): void {
    if (this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    void this.#open();
  }

  setView(view: View, anchorM: [number, number]): void {
    this.#view = view;
    this.#anchorM = anchorM;
    if (this.#viewTimer !== undefined || this.#socket?.readyState !== WebSocket.OPEN) return;
    const wait = Math.max(this.#viewSentAt + VIEWS_EVERY_MS - performance.now(), 0);
    this.#viewTimer = setTimeout(() => {
      this.#viewTimer = undefined;
      this.#sendView();
    }, wait);
  }

  setClasses(classOfRow: Uint8Array): void {
    this.#classOfRow = classOfRow;
    if (this.#columns !== null) this.#columns.classOfRow = classOfRow;
  }

  recycle(buffer: ArrayBuffer): void {
    // A buffer of a stream that was open before comes back to this one.
    this.#frames = Math.max(this.#frames - 1, 0);
    if (this.#free.length < FRAMES) this.#free.push(buffer);
    this.#orLeave(() => this.#show());
  }

  /** A stream that is closed has nothing to say any more, whatever answer still comes. */
  #status(phase: Phase, why: string | null, retryAtMs: number | null = null): void {
    if (this.#isClosed) return;
    say({ type: "status", simulation: this.#simulation, status: { phase, why, retryAtMs } });
  }

  async #open(): Promise<void> {
    this.#retry = undefined;
    this.#greetedAt = null;
    this.#status("connecting", null);
    this.#viewSent = viewMessage(this.#view);
    const query = new URLSearchParams({ ...viewQuery(this.#view), ...this.#session.resume(this.#view.events) });
    if (this.#token !== null) {
      const ticket = await this.#ticket(this.#token);
      if (ticket === null || this.#isClosed) return;
      query.set("ticket", ticket);
    }
    const address = new URL(`/v1/simulations/${this.#simulation}/stream?${query}`, self.location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let isOpened = false;
    const patience = setTimeout(() => socket.close(), OPEN_PATIENCE_MS);
    socket.onopen = () => {
      isOpened = true;
      clearTimeout(patience);
      this.#heardAt = performance.now();
      this.#isPinged = false;
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => this.#orLeave(() => this.#handle(message.data));
    socket.onclose = (closed) => {
      clearTimeout(patience);
      if (this.#isClosed || this.#socket !== socket) return;
      this.#socket = null;
      if (isOpened) this.#ended(closed.code, closed.reason);
      else void this.#refused();
    };
  }

  /** A ticket for the stream; null where none was to be had, which has been said then. */
  async #ticket(token: string): Promise<string | null> {
    try {
      const answer = await fetch("/v1/stream-tickets", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(ASK_PATIENCE_MS),
      });
      if (answer.ok) {
        const body: unknown = await answer.json();
        const ticket = typeof body === "object" && body !== null ? (body as Record<string, unknown>)["ticket"] : null;
        if (typeof ticket === "string") return ticket;
      }
      if (answer.status === 401) this.#status("token", "The server wants another token.");
      else this.#again(`The server cannot open the stream now: ${answer.status}.`);
    } catch {
      this.#again("The server cannot be reached.");
    }
    return null;
  }

  /** A browser does not say why a socket was refused, so that it is asked for over HTTP. */
  async #refused(): Promise<void> {
    let why = "The server cannot be reached.";
    try {
      const headers: HeadersInit = this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
      const answer = await fetch(`/v1/simulations/${this.#simulation}`, { headers, signal: AbortSignal.timeout(ASK_PATIENCE_MS) });
      if (answer.status === 404) return this.#status("ended", "There is no such simulation; it may have been deleted.");
      if (answer.status === 401) return this.#status("token", "The server wants a token.");
      if (answer.ok) why = "The server refused the stream; it may have too many.";
      else {
        const problem: unknown = await answer.json().catch(() => null);
        const detail = typeof problem === "object" && problem !== null ? (problem as Record<string, unknown>)["detail"] : null;
        why = typeof detail === "string" ? `The server says: ${detail}.` : `The server answers ${answer.status}.`;
      }
    } catch {
      // It is as was said: it cannot be reached.
    }
    this.#again(why);
  }

  #again(why: string): void {
    const ending = this.#session.handleClose(1006, "", Math.random(), 0);
    this.#wait("waitMs" in ending ? ending.waitMs : 0, why);
  }

  #wait(waitMs: number, why: string): void {
    if (this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#status("waiting", why, Date.now() + waitMs);
    this.#retry = setTimeout(() => void this.#open(), waitMs);
  }

  #ended(code: number, reason: string): void {
    const stoodMs = this.#greetedAt === null ? 0 : performance.now() - this.#greetedAt;
    const ending = this.#session.handleClose(code, reason, Math.random(), stoodMs);
    if (ending.next === "never") return this.#status("ended", ending.why);
    if (ending.next === "token") return this.#status("token", ending.why);
    if (ending.next === "again_with_fewer_events") {
      this.#session.skipPast();
      this.#view = { ...this.#view, events: "system" };
      say({ type: "fewer_events", simulation: this.#simulation });
    }
    this.#wait(ending.waitMs, ending.why);
  }

  #handle(data: string | ArrayBuffer): void {
    this.#heardAt = performance.now();
    this.#isPinged = false;
    this.#traffic.messages += 1;
    this.#traffic.bytes += typeof data === "string" ? data.length : data.byteLength;
    if (typeof data === "string") return this.#handleText(data);
    const kind = kindOf(data);
    if (kind === IDS) this.#guarded(() => this.#handleIds(data));
    else if (kind === TICK) {
      if (this.#newest !== null) this.#traffic.undrawn += 1;
      this.#newest = data;
      this.#show();
    }
  }

  /** Whatever else goes wrong with a message, memory that is not to be had, ends the connection and not the worker: the next one begins anew. */
  #orLeave(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#leave();
      this.#again(`A message of the server could not be taken: ${error instanceof Error ? error.message : error}.`);
    }
  }

  /** Leaves a connection; its end, which may take its time, is not waited for. */
  #leave(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  /** A message that is malformed is counted and passed over; the stream goes on. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#traffic.malformed += 1;
    }
  }

  #handleIds(data: ArrayBuffer): void {
    this.#ids = decodeIds(data);
    this.#columns = new Columns(this.#ids);
    this.#columns.classOfRow = this.#classOfRow;
    const fleet = fleetOf(this.#ids);
    const transfer = [fleet.ids.buffer, fleet.siteOfRow.buffer, fleet.originsM.buffer];
    say({ type: "fleet", simulation: this.#simulation, fleet }, transfer as ArrayBuffer[]);
  }

  /** Decodes the newest tick where the page has a place for it. */
  #show(): void {
    const data = this.#newest;
    const ids = this.#ids;
    const columns = this.#columns;
    if (data === null || ids === null || columns === null || this.#frames >= FRAMES) return;
    this.#newest = null;
    this.#guarded(() => {
      const tick = decodeTick(data, ids);
      const frame = columns.fill(tick, this.#anchorM, this.#buffer(frameBytes(tick.records)));
      this.#frames += 1;
      say({ type: "frame", simulation: this.#simulation, frame }, [frame.buffer]);
    });
  }

  #buffer(bytes: number): ArrayBuffer {
    const free = this.#free.pop();
    return free !== undefined && free.byteLength >= bytes ? free : new ArrayBuffer(Math.ceil(bytes * 1.25) + 64);
  }

  #handleText(text: string): void {
    const message = readMessage(text);
    switch (message?.type) {
      case "hello": {
        const voided = this.#session.handleHello(message, this.#view.events);
        this.#greetedAt = performance.now();
        say({ type: "hello", simulation: this.#simulation, hello: message, voided });
        this.#status("open", null);
        this.#sendView();
        break;
      }
      case "event":
        if (!this.#session.handleEvent(message)) break;
        this.#keepEvent(message);
        break;
      case "events_missing":
        this.#session.handleMissing(message.log, message.to_seq);
        say({ type: "missing", simulation: this.#simulation, log: message.log, fromSeq: message.from_seq, toSeq: message.to_seq });
        break;
      case "lagged":
        this.#traffic.lagged += message.skipped;
        break;
      case "view":
        say({ type: "view", simulation: this.#simulation, maxEntities: message.max_entities, detail: "" });
        break;
      case "error":
        say({ type: "view", simulation: this.#simulation, maxEntities: null, detail: message.detail });
        break;
    }
  }

  /** Keeps an event to be handed on; where there are too many, the oldest change of a state goes, or the oldest of its own weight. */
  #keepEvent(event: FarmEvent): void {
    this.#events.push(event);
    if (isWeighty(event)) this.#weighty += 1;
    const isTooMany = this.#events.length - this.#weighty > MAX_EVENTS_AT_ONCE;
    if (!isTooMany && this.#weighty <= MAX_WEIGHTY_AT_ONCE) return;
    const transition = isTooMany ? this.#events.findIndex((one) => one.kind === "transition") : -1;
    const gone = transition < 0 ? this.#events.findIndex((one) => isWeighty(one) !== isTooMany) : transition;
    this.#events.splice(gone, 1);
    if (!isTooMany) this.#weighty -= 1;
    this.#dropped += 1;
  }

  #sendView(): void {
    const message = viewMessage(this.#view);
    if (this.#socket?.readyState !== WebSocket.OPEN || message === this.#viewSent) return;
    this.#viewSent = message;
    this.#viewSentAt = performance.now();
    this.#socket.send(message);
  }

  #handOnEvents(): void {
    if (this.#events.length === 0) return;
    say({ type: "events", simulation: this.#simulation, events: this.#events, dropped: this.#dropped });
    this.#events = [];
    this.#weighty = 0;
    this.#dropped = 0;
  }

  #everySecond(): void {
    say({ type: "traffic", simulation: this.#simulation, traffic: { ...this.#traffic } });
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > 2 * PING_AFTER_MS && this.#isPinged) {
      this.#leave();
      this.#ended(1006, "");
    } else if (silentMs > PING_AFTER_MS && !this.#isPinged) {
      this.#isPinged = true;
      socket.send('{"type":"ping"}');
    }
  }
}

function fleetOf(ids: Ids): Fleet {
  const siteOfRow = new Uint32Array(ids.machines);
  const originsM = new Float64Array(ids.sites * 2).fill(Number.NaN);
  for (let b = 0; b < ids.size.length; b += 1) {
    const first = ids.first[b] as number;
    const site = ids.site[b] as number;
    siteOfRow.fill(site, first, first + (ids.size[b] as number));
    originsM[site * 2] = ids.eastM[b] as number;
    originsM[site * 2 + 1] = ids.northM[b] as number;
  }
  return { machines: ids.machines, sites: ids.sites, worldM: ids.worldM, ids: ids.ids.slice(), siteOfRow, originsM };
}

let stream: Stream | null = null;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  switch (data.type) {
    case "open":
      stream?.close();
      stream = new Stream(data.simulation, data.token, data.view);
      break;
    case "view":
      stream?.setView(data.view, data.anchorM);
      break;
    case "classes":
      stream?.setClasses(data.classOfRow);
      break;
    case "recycle":
      stream?.recycle(data.buffer);
      break;
    case "retry":
      stream?.retry();
      break;
    case "close":
      stream?.close();
      stream = null;
      break;
  }
};
