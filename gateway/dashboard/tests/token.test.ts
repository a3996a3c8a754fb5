/** A server that wants a token is asked nothing until it gets one, and the visitor is asked for it once. */

import { afterEach, expect, it, vi } from "vitest";
import { A, hello, openPage, settled } from "./page_fixture";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function refusedPage(hash: string) {
  const page = await openPage(hash);
  page.farm.start();
  await settled();
  const { said } = await import("../src/panels/notice");
  const { putOffToken } = await import("../src/store/page");
  return { ...page, said, putOffToken };
}

/** Answers all that is asked with 401, for a minute; gives how much was asked. */
async function refuseForAMinute({ server }: Awaited<ReturnType<typeof refusedPage>>): Promise<number> {
  let asked = 0;
  for (let s = 0; s < 60; s += 1) {
    for (const one of server.open.splice(0)) {
      one.answer(401, { title: "A token is needed", detail: "" });
      asked += 1;
    }
    await vi.advanceTimersByTimeAsync(1_000);
  }
  return asked;
}

it.each(["", `#sim=${A}`])("puts off for good what was put off once, and says how to come back to it (at %j)", async (hash) => {
  const page = await refusedPage(hash);
  await page.server.answer("GET /v1/simulations", { title: "A token is needed", detail: "" }, 401);
  expect(page.state.isTokenAsked.value).toBe(true);
  page.putOffToken();
  expect(await refuseForAMinute(page)).toBeLessThanOrEqual(3);
  expect(page.state.isTokenAsked.value).toBe(false);
  expect(page.said()?.title).toBe("A token is needed");
  page.said()?.action?.run();
  expect(page.state.isTokenAsked.value).toBe(true);
});

it("says so too where the stream alone was refused", async () => {
  const page = await refusedPage(`#sim=${A}`);
  page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
  page.tell({ type: "status", simulation: A, status: { phase: "token", why: "The token was revoked.", retryAtMs: null } });
  expect(page.state.isTokenAsked.value).toBe(true);
  expect(page.said()?.title).toBe("A token is needed");
});

it("goes on with another token, whatever still comes in answer to the first", async () => {
  const page = await refusedPage(`#sim=${A}`);
  page.farm.setToken("af_one");
  await settled();
  const late = page.server.open.find((asked) => asked.what.startsWith("GET /v1/simulations?") && asked.token === "Bearer af_one");
  page.farm.setToken("af_two");
  late?.answer(401, { title: "No such token", detail: "" });
  await settled();
  expect(late).toBeDefined();
  expect(page.state.isTokenNeeded.value).toBe(false);
  expect(page.server.open.some((asked) => asked.token === "Bearer af_two")).toBe(true);
});

it("takes a stream that opens for word that the token is taken", async () => {
  const page = await refusedPage(`#sim=${A}`);
  page.tell({ type: "status", simulation: A, status: { phase: "token", why: "The server wants a token.", retryAtMs: null } });
  page.tell({ type: "hello", simulation: A, hello: hello(A), voided: null });
  expect(page.state.isTokenNeeded.value).toBe(false);
  expect(page.state.isTokenAsked.value).toBe(false);
});
