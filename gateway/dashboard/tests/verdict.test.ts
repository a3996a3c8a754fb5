/** How many ticks were late is never rounded to none or all. */

import { describe, expect, it } from "vitest";
import { share, verdict } from "../src/panels/verdict";

describe("a share", () => {
  it.each([
    [0, "0 %"],
    [0.000001, "< 0.01 %"],
    [0.00057, "0.06 %"],
    [0.5, "50.00 %"],
    [0.9999, "99.99 %"],
    [0.999999, "> 99.99 %"],
    [1, "100 %"],
  ])("of %s is %s", (of, text) => expect(share(of)).toBe(text));
});

describe("the verdict", () => {
  it("says that all were in time only where none was late", () => {
    expect(verdict({ late: 0, ticks: 30_000, spanS: 300 })).toEqual({
      isMet: true,
      text: "All of the 30,000 ticks of the last 5 min were complete within their deadline.",
    });
    expect(verdict({ late: 1, ticks: 30_000, spanS: 300 }).text).toBe("1 of the 30,000 ticks of the last 5 min, < 0.01 %, were late.");
  });
  it("is a bad one where more than a thousandth was late", () => {
    expect(verdict({ late: 1, ticks: 1_000, spanS: 50 })).toEqual({ isMet: true, text: "1 of the 1,000 ticks of the last 50 s, 0.10 %, were late." });
    expect(verdict({ late: 2, ticks: 1_000, spanS: 50 }).isMet).toBe(false);
  });
});
