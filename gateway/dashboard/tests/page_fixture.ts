/** A page without a browser: the globals that the store touches, a server that answers when a test says so, and a stream's worker. */

import { vi } from "vitest";
import type { Simulation } from "../src/api/client";
import type { Hello } from "../src/protocol/messages";
import type { FromWorker, MachineFrame, ToWorker } from "../src/stream/channel";

export const A = "01a215cd-94e3-7585-878a-df29cd130933";
export const B = "01a215cd-94e3-7585-878a-df29cd130944";

export const simulation = (id: string, more: Partial<Simulation> = {}): Simulation =>
  ({ id, name: id, scenario: "farm", status: "running", entities: 10, speed: 1, achieved_speed: 1, tick: 0, tick_ms: 100, ...more }) as Simulation;

export const hello = (id: string, more: Partial<Hello> = {}): Hello =>
  ({
    type: "hello",
    simulation: simulation(id),
    world: { bounds_m: [0, 0, 1, 1], sites: 1, fields: 1 },
    epoch: 1,
    epochs: [],
    next_event: 1,
    next_system_event: 1,
    ...more,
  }) as Hello;

export const frame = (tick: number): MachineFrame =>
  ({ tick, simTimeS: tick / 10, count: 0, machines: 10, sums: {}, buffer: new ArrayBuffer(0) }) as MachineFrame;

/** A request that was not answered yet. */
interface Asked {
  what: string;
  token: string | null;
  /** That of a change, by which the server knows it again. */
  key: string | null;
  signal: AbortSignal | null;
  answer: (status: number, body: unknown, headers?: Record<string, string>) => void;
  fail: () => void;
}

/** Requests in the order in which they were made; those that were answered go. */
export class Server {
  open: Asked[] = [];

  readonly fetch = (path: string, init: RequestInit = {}): Promise<Response> =>
    new Promise((resolve, reject) => {
      const asked: Asked = {
        what: `${init.method ?? "GET"} ${path}`,
        token: new Headers(init.headers).get("Authorization"),
        key: new Headers(init.headers).get("Idempotency-Key"),
        signal: init.signal ?? null,
        answer: (status, body, headers = {}) => resolve(new Response(status === 204 ? null : JSON.stringify(body), { status, headers })),
        fail: () => reject(new TypeError("Failed to fetch")),
      };
      this.open.push(asked);
    });

  /** Takes the oldest request of this method and path, whatever its query, for it to be answered. */
  take(what: string): Asked {
    const asked = this.open.find((one) => one.what.split("?")[0] === what);
    if (asked === undefined) throw new Error(`nobody asked for ${what}, but for ${this.open.map((one) => one.what).join(", ")}`);
    this.open = this.open.filter((one) => one !== asked);
    return asked;
  }

  async answer(what: string, body: unknown, status = 200): Promise<void> {
    this.take(what).answer(status, body);
    await settled();
  }
}

/** Lets everything happen that waits for nothing but an answer that is there. */
export async function settled(): Promise<void> {
  for (let n = 0; n < 20; n += 1) await vi.advanceTimersByTimeAsync(0);
}

export async function openPage(hash = "") {
  vi.resetModules();
  vi.useFakeTimers();
  const listeners = new Map<string, () => void>();
  const server = new Server();
  const said: ToWorker[] = [];
  const address = { hash, pathname: "/", href: "http://farm.test/" };
  let worker: { onmessage: ((message: { data: FromWorker }) => void) | null } | null = null;
  const nothing = () => {};
  const listen = (name: string, listener: () => void) => listeners.set(name, listener);
  const document = { hidden: false, title: "", addEventListener: listen };
  vi.stubGlobal("location", address);
  vi.stubGlobal("history", { replaceState: nothing });
  vi.stubGlobal("document", document);
  vi.stubGlobal("addEventListener", listen);
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: nothing }));
  vi.stubGlobal("sessionStorage", { getItem: () => null, setItem: nothing, removeItem: nothing });
  vi.stubGlobal("fetch", server.fetch);
  vi.stubGlobal(
    "Worker",
    class {
      onmessage = null;
      constructor() {
        worker = this;
      }
      postMessage(message: ToWorker) {
        said.push(message);
      }
    },
  );
  const farm = await import("../src/store/farm");
  const state = await import("../src/store/state");
  return {
    farm,
    state,
    server,
    /** What the page said to the stream's worker. */
    said,
    /** What the stream's worker says to the page. */
    tell: (message: FromWorker) => worker?.onmessage?.({ data: message }),
    /** Somebody looks at another tab, or at this one again. */
    hide: async (hidden: boolean) => {
      document.hidden = hidden;
      listeners.get("visibilitychange")?.();
      await settled();
    },
    /** Somebody changes the address by hand. */
    go: async (to: string) => {
      address.hash = to;
      listeners.get("hashchange")?.();
      await settled();
    },
  };
}
