/** The stream's worker, without a browser: what it does about a server that is slow, refuses, or greets and leaves. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FromWorker, ToWorker, View } from "../src/stream/channel";
import { A, hello, Server, settled } from "./page_fixture";

const VIEW: View = { boundsM: null, maxEntities: 10, rateHz: 10, events: "all" };

class FakeSocket {
  static readonly OPEN = 1;
  static made: FakeSocket[] = [];
  readonly query: URLSearchParams;
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((closed: { code: number; reason: string }) => void) | null = null;
  constructor(address: URL) {
    this.query = address.searchParams;
    FakeSocket.made.push(this);
  }
  send() {}
  close() {
    this.readyState = 3;
  }
  /** The server takes the connection, and greets. */
  greet() {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
    this.onmessage?.({ data: JSON.stringify(hello(A)) });
  }
  end(code: number, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

let said: FromWorker[];
let server: Server;
let ask: (message: ToWorker) => void;
const phases = () => said.flatMap((message) => (message.type === "status" ? [message.status.phase] : []));
const open = (token: string | null) => ask({ type: "open", simulation: A, token, view: VIEW });

beforeEach(async () => {
  vi.resetModules();
  vi.useFakeTimers();
  said = [];
  server = new Server();
  FakeSocket.made = [];
  const self = {
    postMessage: (message: FromWorker) => said.push(message),
    location: { href: "http://farm.test/assets/worker.js" },
    onmessage: null as ((message: { data: ToWorker }) => void) | null,
  };
  vi.stubGlobal("self", self);
  vi.stubGlobal("fetch", server.fetch);
  vi.stubGlobal("WebSocket", FakeSocket);
  await import("../src/stream/worker");
  ask = (data) => self.onmessage?.({ data });
});

afterEach(() => {
  ask({ type: "close" });
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Long enough for every wait between tries. */
const LONG_MS = 60_000;

describe("a stream that was closed", () => {
  it.each([
    ["is unreachable", (asked: ReturnType<Server["take"]>) => asked.fail()],
    ["gives none", (asked: ReturnType<Server["take"]>) => asked.answer(503, {})],
    ["wants another token", (asked: ReturnType<Server["take"]>) => asked.answer(401, {})],
  ])("does not try again, and says nothing, when the server it wants a ticket of %s", async (_, end) => {
    open("af_token");
    const late = server.take("POST /v1/stream-tickets");
    ask({ type: "close" });
    const before = said.length;
    end(late);
    await settled();
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(said).toHaveLength(before);
    expect(server.open).toEqual([]);
  });

  it.each([404, 401, 500])("says nothing when it learns late that the stream was refused with %i", async (status) => {
    open(null);
    FakeSocket.made[0]?.end(1006);
    const late = server.take(`GET /v1/simulations/${A}`);
    ask({ type: "close" });
    const before = said.length;
    late.answer(status, {});
    await settled();
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(said).toHaveLength(before);
    expect(FakeSocket.made).toHaveLength(1);
  });
});

describe("a stream that is open", () => {
  it("asks for a ticket, and why it was refused, with a limit of time", () => {
    open("af_token");
    expect(server.take("POST /v1/stream-tickets").signal).toBeInstanceOf(AbortSignal);
    open(null);
    FakeSocket.made[0]?.end(1006);
    expect(server.take(`GET /v1/simulations/${A}`).signal).toBeInstanceOf(AbortSignal);
  });

  it("tries again where no ticket was to be had", async () => {
    open("af_token");
    server.take("POST /v1/stream-tickets").fail();
    await settled();
    expect(phases()).toEqual(["connecting", "waiting"]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.open.map((asked) => asked.what)).toEqual(["POST /v1/stream-tickets"]);
  });

  it("meets a server that greets and then leaves less and less often", async () => {
    open(null);
    for (let n = 0; n < 100 && FakeSocket.made.length < 1_000; n += 1) {
      const socket = FakeSocket.made.at(-1);
      if (socket?.readyState === 0) {
        socket.greet();
        socket.end(1011);
      }
      await vi.advanceTimersByTimeAsync(600);
    }
    // A minute of tries every half second would be a hundred; waits that double up to 15 s make about ten.
    expect(FakeSocket.made.length).toBeLessThan(15);
    expect(FakeSocket.made.length).toBeGreaterThan(5);
  });

  it("comes back soon to one that served it for a while", async () => {
    open(null);
    for (let n = 0; n < 6; n += 1) {
      FakeSocket.made.at(-1)?.greet();
      await vi.advanceTimersByTimeAsync(15_000);
      FakeSocket.made.at(-1)?.end(1006);
      await vi.advanceTimersByTimeAsync(500);
      expect(FakeSocket.made).toHaveLength(n + 2);
    }
  });
});

describe("a message that cannot be taken", () => {
  it("ends the connection, and another is made", async () => {
    open(null);
    const first = FakeSocket.made[0];
    first?.greet();
    first?.onmessage?.({ data: JSON.stringify({ ...hello(A), epochs: [null] }) });
    expect(first?.readyState).toBe(3);
    expect(phases().at(-1)).toBe("waiting");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(FakeSocket.made).toHaveLength(2);
    FakeSocket.made[1]?.greet();
    expect(phases().at(-1)).toBe("open");
    // What the first still says is of no account.
    first?.onmessage?.({ data: JSON.stringify({ ...hello(A), epochs: [null] }) });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(FakeSocket.made).toHaveLength(2);
    expect(phases().at(-1)).toBe("open");
  });
});

it("the page is told how many machines the view has that the server took, and that it took none", () => {
  open(null);
  FakeSocket.made[0]?.greet();
  const answer = (message: object) => FakeSocket.made[0]?.onmessage?.({ data: JSON.stringify(message) });
  answer({ type: "view", bounds_m: null, max_entities: 7, rate_hz: 10, events: "all" });
  answer({ type: "error", code: "too_many_views", detail: "there are 64" });
  expect(said.flatMap((message) => (message.type === "view" ? [[message.maxEntities, message.detail]] : []))).toEqual([
    [7, ""],
    [null, "there are 64"],
  ]);
});

it("a stream that tells no events of machines is opened again without their past", async () => {
  ask({ type: "open", simulation: A, token: null, view: { ...VIEW, events: "system" } });
  FakeSocket.made[0]?.greet();
  FakeSocket.made[0]?.end(1006);
  await vi.advanceTimersByTimeAsync(1_000);
  const { query } = FakeSocket.made[1] as FakeSocket;
  expect([query.get("from_event"), query.get("from_system_event"), query.get("from_epoch")]).toEqual([null, "1", "1"]);
});

it("a stream that told too many events is opened again for those of the run", async () => {
  open(null);
  FakeSocket.made[0]?.greet();
  FakeSocket.made[0]?.end(1008, "events_behind");
  await vi.advanceTimersByTimeAsync(1_000);
  const { query } = FakeSocket.made[1] as FakeSocket;
  expect([query.get("events"), query.get("from_event")]).toEqual(["system", null]);
  expect(said.some((message) => message.type === "fewer_events")).toBe(true);
});

describe("more events than the page can take at once", () => {
  const happen = (seq: number, kind: string, log = "sim") =>
    FakeSocket.made.at(-1)?.onmessage?.({ data: JSON.stringify({ type: "event", log, seq, tick: 1, kind, detail: {} }) });
  const handedOn = async () => {
    await vi.advanceTimersByTimeAsync(300);
    return said.flatMap((message) => (message.type === "events" ? [message] : [])).at(-1);
  };

  it("lose changes of states, and neither what somebody waits for nor what somebody has to know of", async () => {
    open(null);
    FakeSocket.made[0]?.greet();
    happen(1, "system", "system");
    happen(2, "lifecycle", "system");
    happen(1, "command");
    happen(2, "command_rejected");
    happen(3, "fault");
    for (let seq = 4; seq < 5_000; seq += 1) happen(seq, "transition");
    const { events = [], dropped } = (await handedOn()) ?? {};
    expect(events.slice(0, 5).map((event) => event.kind)).toEqual(["system", "lifecycle", "command", "command_rejected", "fault"]);
    expect(events.at(-1)?.seq).toBe(4_999);
    expect(events).toHaveLength(204);
    expect(dropped).toBe(5_001 - 204);
  });

  it("are bounded even where somebody has to know of all", async () => {
    open(null);
    FakeSocket.made[0]?.greet();
    for (let seq = 1; seq <= 6_000; seq += 1) happen(seq, "system", "system");
    for (let seq = 1; seq <= 300; seq += 1) happen(seq, "fault");
    const { events = [], dropped } = (await handedOn()) ?? {};
    expect(events).toHaveLength(4_096 + 200);
    expect(dropped).toBe(6_300 - events.length);
    expect(events.at(-1)).toMatchObject({ kind: "fault", seq: 300 });
  });
});
