import { expect, test } from "vitest";
import { createStreamSlots } from "./slots";

test("no more streams than slots, and a slot given back twice is one slot", () => {
  const slots = createStreamSlots(1);
  const slot = slots.take();
  expect(slots.take()).toBeNull();
  slot?.release();
  slot?.release();
  expect(slots.take()).not.toBeNull();
  expect(slots.take()).toBeNull();
});
