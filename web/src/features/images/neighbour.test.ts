import { expect, test } from "vitest";
import { neighbour } from "./neighbour";

// 0 1 2
// 3 4
test.each([
  ["ArrowRight", 2, 3],
  ["ArrowLeft", 0, null],
  ["ArrowDown", 1, 4],
  ["ArrowDown", 2, null],
  ["ArrowUp", 4, 1],
  ["ArrowUp", 1, null],
  ["End", 0, 4],
  ["Home", 4, 0],
  ["End", 4, null],
  ["Enter", 1, null],
])("%s from cell %i leads to %j", (key, from, to) => {
  expect(neighbour(key, from, 5, 3)).toBe(to);
});
