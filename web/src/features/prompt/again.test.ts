import { expect, test } from "vitest";
import type { Job } from "../../api/types";
import { aJob } from "../../testing/gateway";
import { again, againWithAnotherSeed, canAskAgain } from "./again";

function made(prompt: string, parameters: Partial<Job["parameters"]> = {}): Job {
  const job = aJob({ prompt, model: "ink" });
  return { ...job, parameters: { ...job.parameters, ...parameters } };
}

const variation = { task: "variation", source: "aa", strength: 0.5 } as const;

test("what the prompt says is not said twice", () => {
  expect(again(made("a cat --seed 7 --steps 20"))).toEqual({ prompt: "a cat --seed 7 --steps 20", model: "ink" });
  expect(again(made("a cat --steps 20"))).toEqual({ prompt: "a cat --steps 20", model: "ink", seed: 7 });
  expect(again(made("a cat --v ink --iw 1 --seed 7", variation))).toEqual({
    prompt: "a cat --v ink --iw 1 --seed 7",
    task: "variation",
    source: "aa",
  });
});

test("the styles are named again, once", () => {
  const styles = [{ name: "ink", weight: 0.8, sha256: "aa" }];
  expect(again(made("a cat", { styles })).styles).toEqual([{ name: "ink", weight: 0.8 }]);
  expect(again(made("a cat --style ink:.8", { styles })).styles).toBeUndefined();
});

test("what was said in fields is said again", () => {
  const fields = { negative_prompt: "text", num_steps: 12, sampler: "heun", width: 96 };
  expect(again(made("a cat", fields))).toEqual({
    prompt: "a cat",
    model: "ink",
    seed: 7,
    guidance_scale: 3.5,
    height: 64,
    ...fields,
  });
});

test("the speed is kept, and said once", () => {
  const fast = { speed: "fast" } as const;
  expect(again(made("a cat --seed 7", fast))).toEqual({ prompt: "a cat --seed 7", model: "ink", ...fast });
  expect(again(made("a cat --seed 7 --speed fast", fast))).toEqual({ prompt: "a cat --seed 7 --speed fast", model: "ink" });
});

test("eta, rescale and clip skip are kept where they are not the usual ones, and said once", () => {
  const options = { eta: 0.5, guidance_rescale: 0.7, clip_skip: 2 };
  expect(again(made("a cat --seed 7", options))).toEqual({ prompt: "a cat --seed 7", model: "ink", ...options });
  const said = "a cat --seed 7 --eta .5 --rescale .7 --clip-skip 2 --sampler DDIM";
  expect(again(made(said, { ...options, sampler: "DDIM" }))).toEqual({ prompt: said, model: "ink" });
});

test("a picture's source and strength stay, with another seed too", () => {
  expect(again(made("a cat --seed 7", variation))).toEqual({ prompt: "a cat --seed 7", model: "ink", ...variation });
  expect(againWithAnotherSeed(made("a cat --seed 7 --ar 3:2", variation))).toEqual({
    prompt: "a cat --ar 3:2",
    model: "ink",
    ...variation,
  });
});

test("an edit stays one, as near to its picture", () => {
  const edit = { task: "edit", source: "aa", image_guidance: 2 } as const;
  expect(again(made("make it red --seed 7", edit))).toEqual({ prompt: "make it red --seed 7", model: "ink", ...edit });
});

test("an enlargement takes its source and its scale, and no settings of drawing", () => {
  const upscale = { task: "upscale", source: "aa", scale: 4 } as const;
  expect(again(made("a cat", upscale))).toEqual({ prompt: "a cat", ...upscale });
});

test("an outpaint cannot be asked for again: nobody tells where its source lay", () => {
  expect([canAskAgain(made("a cat", { task: "outpaint" })), canAskAgain(made("a cat"))]).toEqual([false, true]);
});
