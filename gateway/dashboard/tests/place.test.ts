/** The address of the page, and the camera. */

import { describe, expect, it } from "vitest";
import type { Simulation } from "../src/api/client";
import { askedBounds, fitted, overlapM2, toScreen, toWorld, zoomedAt } from "../src/map/camera";
import { pointPx } from "../src/map/machines_layer";
import { HOME, openedAtOnce, readPlace, writePlace } from "../src/store/location";

const SIZE = { width: 800, height: 600 };

describe("the address", () => {
  it("of the first visit is empty", () => expect(writePlace(HOME)).toBe(""));
  it("holds the whole view", () => {
    const place = {
      simulation: "01a215cd-94e3-7585-878a-df29cd130933",
      camera: { x: -12.5, y: 7, pxPerM: 3.25 },
      colourBy: "charge" as const,
      hiddenStates: 5,
      hiddenClasses: 1,
      machine: 17,
      isFollowed: true,
      tab: "time" as const,
      machineLimit: 2_000 as const,
    };
    expect(readPlace(writePlace(place))).toEqual(place);
  });
  it("knows no machine 0", () => expect(readPlace("#machine=0").machine).toBeNull());
  it("that makes no sense is as the first visit", () => {
    expect(readPlace("#sim=../../x&x=NaN&y=1&z=-3&by=colour&hide=-1&machine=1.5&tab=nowhere&max=999999999&follow=yes")).toEqual(HOME);
  });
});

describe("how large a machine is drawn", () => {
  it("is less the closer together they are, and never too little to be seen", () => {
    const sizes = [0, 2, 4, 18, 37, 1000].map((apartPx) => pointPx(0.01, apartPx));
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
    expect(sizes[0]).toBeGreaterThanOrEqual(2);
    expect(sizes[4]).toBe(sizes[5]);
  });
  it("is to scale from near, however many there are", () => expect([pointPx(20, 0), pointPx(20, 1000)]).toEqual([56, 56]));
  it("goes by the part of the world that is seen", () => {
    expect(overlapM2([0, 0, 10, 10], [5, -5, 50, 5])).toBe(25);
    expect(overlapM2([0, 0, 10, 10], [20, 0, 30, 10])).toBe(0);
    expect(overlapM2([0, 0, 10, 20])).toBe(200);
  });
});

describe("the camera", () => {
  const camera = { x: 100, y: 50, pxPerM: 2 };
  it("puts north up", () => expect(toScreen(camera, SIZE, 100, 60)).toEqual([400, 280]));
  it("finds back", () => expect(toWorld(camera, SIZE, ...toScreen(camera, SIZE, 12, 34))).toEqual([12, 34]));
  it("zooms around the pointer", () => {
    const before = toWorld(camera, SIZE, 50, 60);
    const after = toWorld(zoomedAt(camera, SIZE, 3, 50, 60), SIZE, 50, 60);
    expect(after[0]).toBeCloseTo(before[0], 9);
    expect(after[1]).toBeCloseTo(before[1], 9);
  });
  it("asks for what is seen and a margin, and for everything by null", () => {
    const world: [number, number, number, number] = [-1000, -1000, 1000, 1000];
    expect(askedBounds(camera, SIZE, world)).toEqual([-140, -130, 340, 230]);
    expect(askedBounds(fitted([-5000, -5000, 5000, 5000], SIZE), SIZE, world)).toBeNull();
  });
  it("fits a world beside what covers the map", () => {
    const fit = fitted([0, 0, 100, 10], SIZE, { left: 300, top: 0, bottom: 0 });
    expect(toScreen(fit, SIZE, 0, 0)[0]).toBeGreaterThan(300);
    expect(toScreen(fit, SIZE, 100, 0)[0]).toBeLessThan(800);
  });
  it("fits a high world between what covers the map above and below", () => {
    const fit = fitted([0, 0, 10, 100], SIZE, { left: 0, top: 80, bottom: 50 });
    const above = toScreen(fit, SIZE, 0, 100)[1] - 80;
    expect(above).toBeGreaterThan(0);
    expect(SIZE.height - 50 - toScreen(fit, SIZE, 0, 0)[1]).toBeCloseTo(above, 6);
  });
});

describe("a page without an address", () => {
  const named = (...names: string[]) => names.map((name) => ({ name })) as Simulation[];
  it("opens the only simulation", () => expect(openedAtOnce(named("mine"))?.name).toBe("mine"));
  it("opens the demo among several", () => expect(openedAtOnce(named("a", "demo", "b"))?.name).toBe("demo"));
  it("opens none of several others, and none of none", () => {
    expect(openedAtOnce(named("a", "b"))).toBeNull();
    expect(openedAtOnce([])).toBeNull();
  });
});
