import { expect, test } from "vitest";
import { atSpeed } from "./useSpeed";

test("the chosen speed goes with a wish that names none", () => {
  expect(atSpeed({ prompt: "a cat" }, "fast")).toEqual({ prompt: "a cat", speed: "fast" });
  expect(atSpeed({ prompt: "a cat --speed exact" }, "fast")).toEqual({ prompt: "a cat --speed exact" });
  expect(atSpeed({ prompt: "a cat", speed: "exact" }, "fast")).toEqual({ prompt: "a cat", speed: "exact" });
  expect(atSpeed({ prompt: "", task: "upscale" }, "fast")).toEqual({ prompt: "", task: "upscale" });
  expect(atSpeed({ prompt: "a cat" }, null)).toEqual({ prompt: "a cat" });
});
