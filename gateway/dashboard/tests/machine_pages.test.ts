/** The table of machines: what is loaded is brought up to date, one request at a time, and nothing that was loaded is lost. */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Machine } from "../src/api/client";
import { type Answer, MAX_HELD, MachinePages } from "../src/panels/machine_pages";
import { openPage, settled } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A server with so many machines, each of which has the battery that the server has. */
class Machines {
  battery = 100;
  asked: { cursor: string | null; limit: number }[] = [];
  inFlight = 0;
  mostInFlight = 0;
  constructor(readonly machines: number) {}

  readonly ask = async (cursor: string | null, limit: number): Promise<Answer> => {
    this.asked.push({ cursor, limit });
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    await Promise.resolve();
    this.inFlight -= 1;
    const first = Number(cursor ?? 0);
    const last = Math.min(first + limit, this.machines);
    const items = Array.from({ length: last - first }, (_, n) => ({ id: first + n + 1, now: { battery: this.battery } }) as Machine);
    return { items, next_cursor: last < this.machines ? String(last) : null, tick: 7 };
  };
}

describe("what is loaded", () => {
  it("is brought up to date, however much it is", async () => {
    const server = new Machines(3_000);
    const pages = new MachinePages(server.ask);
    await pages.refresh();
    await pages.more();
    expect(pages.loaded).toMatchObject({ machines: { length: 400 }, tick: 7, hasMore: true });
    server.battery = 50;
    server.asked = [];
    await pages.refresh();
    expect(server.asked).toEqual([{ cursor: null, limit: 400 }]);
    expect(pages.loaded.machines.every((machine) => machine.now?.battery === 50)).toBe(true);
    expect(pages.loaded.machines).toHaveLength(400);
    for (let n = 0; n < 10; n += 1) await pages.more();
    server.asked = [];
    expect(pages.requests).toBe(3);
    await pages.refresh();
    expect(server.asked.map((one) => one.limit)).toEqual([1_000, 1_000, 400]);
    expect(pages.loaded.machines.map((machine) => machine.id)).toEqual(Array.from({ length: 2_400 }, (_, n) => n + 1));
  });

  it("is not lost to an answer that comes late, nor is more that is wanted meanwhile", async () => {
    const server = new Machines(1_000);
    const pages = new MachinePages(server.ask);
    const refreshed = pages.refresh();
    const more = pages.more();
    void pages.more();
    const again = pages.refresh();
    await Promise.all([refreshed, more, again]);
    expect(pages.loaded.machines).toHaveLength(400);
    expect(server.mostInFlight).toBe(1);
  });

  it("ends where the table is full, and where there is no more", async () => {
    const full = new MachinePages(new Machines(100_000).ask);
    await full.refresh();
    for (let n = 0; n < 50; n += 1) await full.more();
    expect(full.loaded).toMatchObject({ machines: { length: MAX_HELD }, hasMore: false });
    const few = new MachinePages(new Machines(250).ask);
    await few.refresh();
    await few.more();
    await few.more();
    expect(few.loaded).toMatchObject({ machines: { length: 250 }, hasMore: false });
  });

  it("stays where a request fails, and the next one is made", async () => {
    const server = new Machines(1_000);
    let isDown = false;
    const pages = new MachinePages((cursor, limit) => (isDown ? Promise.reject(new Error("down")) : server.ask(cursor, limit)));
    await pages.refresh();
    isDown = true;
    await expect(pages.refresh()).rejects.toThrow("down");
    await expect(pages.more()).rejects.toThrow("down");
    expect(pages.loaded.machines).toHaveLength(200);
    isDown = false;
    await pages.more();
    expect(pages.loaded.machines).toHaveLength(400);
  });
});

describe("what is repeated", () => {
  it("is never done twice at a time, and not while nobody looks", async () => {
    const { hide } = await openPage();
    const { repeated } = await import("../src/parts/repeated");
    let begun = 0;
    let done = () => {};
    const stop = repeated(() => {
      begun += 1;
      return new Promise((resolve) => {
        done = () => resolve(1_000);
      });
    });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(begun).toBe(1);
    done();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(begun).toBe(2);
    await hide(true);
    done();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(begun).toBe(2);
    await hide(false);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(begun).toBe(3);
    stop();
    done();
    await settled();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(begun).toBe(3);
  });
});
