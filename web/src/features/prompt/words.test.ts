import { expect, test } from "vitest";
import { title, withoutSeed } from "./words";

test.each([
  ["a red apple", "a red apple"],
  ["a red apple --seed 7 --no text", "a red apple"],
  ["a well-known -- and loved -- castle", "a well-known -- and loved -- castle"],
  ["a red\n apple\n--seed 7", "a red apple"],
  ["--seed 7", "--seed 7"],
  ["a red apple –seed 7", "a red apple"],
  ["Turner – no, Monet", "Turner – no, Monet"],
])("the title of %j is %j", (prompt, words) => {
  expect(title(prompt)).toBe(words);
});

test.each([
  ["a red apple --seed 7", "a red apple"],
  ["a red apple --seed 7 --no text", "a red apple --no text"],
  ["a red apple —SEED 7 --ar 3:2", "a red apple --ar 3:2"],
  ["a sunflower --seedling", "a sunflower --seedling"],
])("without its seed %j is %j", (prompt, words) => {
  expect(withoutSeed(prompt)).toBe(words);
});
