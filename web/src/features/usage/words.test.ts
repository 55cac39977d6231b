import { expect, test } from "vitest";
import { count, lasting, monthOf } from "./words";

test("one thing has no s, and many have their thousands apart", () => {
  expect([count(0, "picture"), count(1, "picture"), count(12000, "step")]).toEqual(["0 pictures", "1 picture", "12,000 steps"]);
});

test("a time is told in the unit that has few digits", () => {
  expect([0, 3.21, 48.4, 1500, 143_640, 144_000].map(lasting)).toEqual(["0 s", "3.2 s", "48 s", "25 min", "39.9 h", "40 h"]);
});

test("a month is UTC's", () => {
  expect(monthOf(new Date("2026-01-31T23:30:00-02:00"))).toBe("2026-02");
});
