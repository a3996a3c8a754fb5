/** The REST API, typed by what the server's own OpenAPI document says. Every request ends in its answer or in a `Problem`. */

import { Problem, problemOf } from "./problem";
import type { components } from "./schema";

export type Schemas = components["schemas"];
export type Simulation = Schemas["Simulation"];
export type Machine = Schemas["Machine"];
export type MachineAt = Schemas["MachineAt"];
export type Worker = Schemas["Worker"];
export type Scenario = Schemas["Scenario"];
export type Snapshot = Schemas["Snapshot"];
export type StagePercentiles = Schemas["StagePercentiles"];
/** `args` differ by command, which the document does not say. */
export type Command = Omit<Schemas["Command"], "args"> & { args?: Record<string, string | number> };
export type CommandPlace = Schemas["CommandPlace"];
export type WorldPage = Schemas["WorldPage"];

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export type Lifecycle = "start" | "pause" | "resume" | "stop";

const VERSION_HEADER = "Autofarm-Version";
/** Items of a page at most, and pages of a list that are asked for at most. */
const LARGEST_PAGE = 1_000;
const MAX_PAGES = 50;
const PATIENCE_MS = 20_000;
/** A change is sent again with the same key where it may or may not have been done: so often, and after so long at most, ms. */
const TRIES = 3;
const LONGEST_PAUSE_MS = 3_000;
const FIRST_PAUSE_MS = 400;

type Query = Record<string, string | number | null | undefined>;

export class Api {
  /** Sent with every request; null where none is needed. */
  token: string | null = null;
  /** Called when the server wants a token, or another. */
  onUnauthorized: () => void = () => {};
  /** Called with the version and commit of the server that answered, where it says them. */
  onVersion: (version: string) => void = () => {};

  /** All of them, the oldest first. */
  simulations(): Promise<Simulation[]> {
    return whole((cursor) => this.#get("/v1/simulations", { limit: LARGEST_PAGE, cursor }));
  }

  simulation(id: string): Promise<Simulation> {
    return this.#get(`/v1/simulations/${id}`);
  }

  scenarios(): Promise<Page<Scenario>> {
    return this.#get("/v1/scenarios");
  }

  workers(): Promise<Worker[]> {
    return whole((cursor) => this.#get("/v1/workers", { limit: LARGEST_PAGE, cursor }));
  }

  world(id: string): Promise<WorldPage> {
    return this.#get(`/v1/simulations/${id}/world`, { limit: 1 });
  }

  machines(
    id: string,
    query: { state?: string; class?: string; site?: string; cursor?: string | null; limit: number },
  ): Promise<Page<Machine> & { tick: number | null }> {
    return this.#get(`/v1/simulations/${id}/entities`, query);
  }

  machine(id: string, machine: number): Promise<MachineAt> {
    return this.#get(`/v1/simulations/${id}/entities/${machine}`);
  }

  metrics(id: string, query: { from_tick: number; every: number; limit: number; cursor?: string | null }): Promise<Page<Snapshot>> {
    return this.#get(`/v1/simulations/${id}/metrics`, query);
  }

  events(id: string, query: { from_tick: number; kind: string; limit: number; cursor?: string | null }): Promise<Page<Schemas["Event"]>> {
    return this.#get(`/v1/simulations/${id}/events`, query);
  }

  latency(id: string, query: { from_tick?: number | undefined }): Promise<{ stages: StagePercentiles[] }> {
    return this.#get(`/v1/simulations/${id}/latency`, query);
  }

  /** `body` is JSON that is written already, for numbers beyond what this language holds exactly. */
  create(body: string): Promise<Simulation> {
    return this.#change("POST", "/v1/simulations", body);
  }

  change(id: string, change: { speed?: number | "max"; name?: string }): Promise<Simulation> {
    return this.#change("PATCH", `/v1/simulations/${id}`, JSON.stringify(change));
  }

  lifecycle(id: string, step: Lifecycle): Promise<Simulation> {
    return this.#change("POST", `/v1/simulations/${id}/${step}`, "{}");
  }

  step(id: string, ticks: number): Promise<Simulation> {
    return this.#change("POST", `/v1/simulations/${id}/step`, JSON.stringify({ ticks }));
  }

  fork(id: string, fork: { tick?: number; name?: string }): Promise<Simulation> {
    return this.#change("POST", `/v1/simulations/${id}/fork`, JSON.stringify(fork));
  }

  remove(id: string): Promise<null> {
    return this.#change("DELETE", `/v1/simulations/${id}`, null);
  }

  command(id: string, command: Command): Promise<CommandPlace> {
    return this.#change("POST", `/v1/simulations/${id}/commands`, JSON.stringify(command));
  }

  #get<Answer>(path: string, query: Query = {}): Promise<Answer> {
    const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const search = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
    return this.#send(search === "" ? path : `${path}?${search}`, { method: "GET" });
  }

  async #change<Answer>(method: string, path: string, body: string | null): Promise<Answer> {
    const init: RequestInit = { method, headers: { "Content-Type": "application/json", "Idempotency-Key": randomKey() }, body };
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.#send(path, init);
      } catch (error) {
        if (!(error instanceof Problem) || tried >= TRIES || ![0, 503, 504].includes(error.status)) throw error;
        const pauseMs = error.retryAfterS === null ? FIRST_PAUSE_MS * 2 ** tried : error.retryAfterS * 1000;
        if (pauseMs > LONGEST_PAUSE_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  async #send<Answer>(path: string, init: RequestInit): Promise<Answer> {
    const headers = new Headers(init.headers);
    const { token } = this;
    if (token !== null) headers.set("Authorization", `Bearer ${token}`);
    let answer: Response;
    try {
      answer = await fetch(path, { ...init, headers, signal: AbortSignal.timeout(PATIENCE_MS) });
    } catch (error) {
      const isLate = error instanceof DOMException && error.name === "TimeoutError";
      throw new Problem(0, "The server cannot be reached", isLate ? "it did not answer in time" : "is it running?");
    }
    const version = answer.headers.get(VERSION_HEADER);
    if (version !== null) this.onVersion(version);
    if (answer.status === 204) return null as Answer;
    const body: unknown = await answer.json().catch(() => null);
    if (answer.ok && body !== null) return body as Answer;
    if (answer.ok) throw new Problem(answer.status, "The server's answer cannot be read", "it is no JSON");
    // A late answer to the token of before says nothing of the one that there is now.
    if (answer.status === 401 && token === this.token) this.onUnauthorized();
    throw problemOf(answer.status, body);
  }
}

/** A list, page after page. */
async function whole<Item>(ask: (cursor: string | null) => Promise<Page<Item>>): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer: Page<Item> = await ask(cursor);
    items.push(...answer.items);
    cursor = answer.next_cursor ?? null;
    if (cursor === null) break;
  }
  return items;
}

/** A key that nobody else uses; `crypto.randomUUID` is not there on pages that came over plain HTTP from another host. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
