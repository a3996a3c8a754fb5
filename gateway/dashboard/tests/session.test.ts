/** Resuming, and what a hello makes void, by the example of docs/stream.md. */

import { describe, expect, it } from "vitest";
import type { Hello } from "../src/protocol/messages";
import { Session, STEADY_MS, voidedSince } from "../src/stream/session";

const EPOCHS = [
  { epoch: 2, from_tick: 401, from_event: 31, from_system_event: 5 },
  { epoch: 3, from_tick: 1201, from_event: 88, from_system_event: 9 },
];
const hello = (epoch: number, epochs = EPOCHS, next = [88, 9]): Hello =>
  ({ type: "hello", epoch, epochs, next_event: next[0], next_system_event: next[1] }) as Hello;

describe("what is void", () => {
  it("is nothing for who has seen the newest epoch", () => expect(voidedSince(3, EPOCHS)).toBeNull());
  it("is nothing for who has seen none", () => expect(voidedSince(null, EPOCHS)).toBeNull());
  it("begins with the take-over since", () => expect(voidedSince(2, EPOCHS)).toEqual({ fromTick: 1201, fromEvent: 88, fromSystemEvent: 9 }));
  it("begins with the first of several", () => expect(voidedSince(1, EPOCHS)).toEqual({ fromTick: 401, fromEvent: 31, fromSystemEvent: 5 }));
});

it("the example of the page: events 88 to 93 are void, and come again", () => {
  const session = new Session();
  session.handleHello(hello(2, EPOCHS.slice(0, 1), [80, 8]), "all");
  for (let seq = 80; seq <= 93; seq += 1) expect(session.handleEvent({ log: "sim", seq })).toBe(true);
  session.handleEvent({ log: "system", seq: 8 });
  expect(session.resume("all")).toEqual({ from_event: "94", from_system_event: "9", from_epoch: "2" });
  expect(session.handleHello(hello(3), "all")).toEqual({ fromTick: 1201, fromEvent: 88, fromSystemEvent: 9 });
  expect(session.handleEvent({ log: "sim", seq: 88 })).toBe(true);
  expect(session.handleEvent({ log: "sim", seq: 88 })).toBe(false);
});

it("resumes nothing before the first hello, and what is next after it", () => {
  const session = new Session();
  expect(session.resume("all")).toEqual({});
  session.handleHello(hello(1, [], [7, 3]), "all");
  expect(session.resume("all")).toEqual({ from_event: "7", from_system_event: "3", from_epoch: "1" });
  session.handleMissing("sim", 20);
  expect(session.resume("all")["from_event"]).toBe("21");
});

it("asks for nothing older once it has given up catching up", () => {
  const session = new Session();
  session.handleHello(hello(2, [], [5000, 9]), "all");
  session.skipPast();
  expect(session.resume("all")).toEqual({ from_epoch: "2" });
  session.handleHello(hello(2, [], [9000, 12]), "all");
  expect(session.resume("all")).toEqual({ from_event: "9000", from_system_event: "12", from_epoch: "2" });
});

describe("a stream that tells no events of machines", () => {
  it("resumes none of them, for all since would be read for nobody", () => {
    const session = new Session();
    session.handleHello(hello(1, [], [7, 3]), "system");
    expect(session.handleEvent({ log: "system", seq: 3 })).toBe(true);
    expect(session.resume("system")).toEqual({ from_system_event: "4", from_epoch: "1" });
    expect(session.resume("none")).toEqual({ from_system_event: "4", from_epoch: "1" });
  });
  it("resumes from what came since it tells them", () => {
    const session = new Session();
    session.handleHello(hello(1, [], [7, 3]), "system");
    expect(session.resume("all")["from_event"]).toBeUndefined();
    session.handleEvent({ log: "sim", seq: 900_000 });
    expect(session.resume("all")["from_event"]).toBe("900001");
    session.handleHello(hello(1, [], [900_010, 3]), "all");
    expect(session.resume("all")["from_event"]).toBe("900001");
  });
  it("resumes none of what it told before", () => {
    const session = new Session();
    session.handleHello(hello(1, [], [7, 3]), "all");
    session.handleEvent({ log: "sim", seq: 9 });
    expect(session.resume("system")).toEqual({ from_system_event: "3", from_epoch: "1" });
    session.handleHello(hello(1, [], [500, 3]), "system");
    expect(session.resume("all")["from_event"]).toBeUndefined();
  });
});

describe("after a close", () => {
  const waitOf = (session: Session, stoodMs: number) => {
    const ending = session.handleClose(1006, "", 1, stoodMs);
    return "waitMs" in ending ? ending.waitMs : Number.NaN;
  };
  it("waits twice as long after every failure, up to a bound, and begins anew after a connection that stood", () => {
    const session = new Session();
    expect(Array.from({ length: 8 }, () => waitOf(session, 0))).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    expect(waitOf(session, STEADY_MS)).toBe(500);
    expect(session.handleClose(1006, "", 0, 0)).toMatchObject({ next: "again", waitMs: 500 });
  });
  it("takes a hello alone for no sign that the server can serve", () => {
    const session = new Session();
    const waits = Array.from({ length: 4 }, () => {
      session.handleHello(hello(1, []), "all");
      return waitOf(session, STEADY_MS - 1);
    });
    expect(waits).toEqual([500, 1000, 2000, 4000]);
  });
  it("does not come back to what was deleted", () => expect(new Session().handleClose(1000, "deleted", 0, 0).next).toBe("never"));
  it("asks for another token", () => expect(new Session().handleClose(1008, "token_revoked", 0, 0).next).toBe("token"));
  it("wants fewer events when it was behind", () => expect(new Session().handleClose(1008, "events_behind", 0, 0).next).toBe("again_with_fewer_events"));
  it("says why", () => expect(new Session().handleClose(1001, "going_away", 0.5, 0)).toMatchObject({ waitMs: 1500, why: "The server is restarting." }));
});
