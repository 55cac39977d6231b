import { expect, test } from "vitest";
import type { Model } from "../../api/types";
import { model as starter } from "../../testing/studio";
import { countChosen, parseOptions, rangesOf, USUAL, withOptions } from "./options";

const model = { ...starter, rescale_tasks: ["generate", "edit"], max_clip_skip: 4, image_guidance: 1.5, speeds: ["exact"] } as Model;
const chosen = { sampler: "DDIM", eta: 0.5, guidance_rescale: 0.7, clip_skip: 2, image_guidance: 3 };
const names = (one: Model, options = USUAL) => rangesOf(one, options).map(({ name }) => name);

test("only what the model heeds is offered", () => {
  expect(names(model)).toEqual(["guidance_rescale", "clip_skip", "image_guidance"]);
  expect(names(model, chosen)).toEqual(["eta", "guidance_rescale", "clip_skip", "image_guidance"]);
  expect(names({ ...model, default_sampler: "DDIM" })).toContain("eta");
  expect(names({ ...model, rescale_tasks: [], max_clip_skip: 0, image_guidance: null })).toEqual([]);
  expect(rangesOf(model, USUAL).find(({ name }) => name === "clip_skip")?.max).toBe(4);
});

test("what was chosen goes with a wish as far as its task heeds it", () => {
  const { image_guidance: _, ...drawing } = chosen;
  expect(withOptions({ prompt: "a cat" }, chosen, model)).toEqual({ prompt: "a cat", ...drawing });
  const edit = { prompt: "make it red", task: "edit", source: "aa" } as const;
  expect(withOptions(edit, chosen, model)).toEqual({ ...edit, ...chosen });
  const variation = { prompt: "a cat", task: "variation", source: "aa" } as const;
  expect(withOptions(variation, chosen, model)).toEqual({ ...variation, sampler: "DDIM", eta: 0.5, clip_skip: 2 });
  const upscale = { prompt: "", task: "upscale", source: "aa" } as const;
  expect(withOptions(upscale, chosen, model)).toEqual(upscale);
});

test("the prompt, the wish itself and another model say otherwise", () => {
  const said = "a cat --sampler DPM++ 2M Karras --rescale .2 --clip-skip 1";
  expect(withOptions({ prompt: said }, chosen, model)).toEqual({ prompt: said });
  expect(withOptions({ prompt: "a cat", sampler: "Heun", clip_skip: 1 }, { ...USUAL, clip_skip: 2 }, model)).toEqual({
    prompt: "a cat",
    sampler: "Heun",
    clip_skip: 1,
  });
  const plain = { ...model, samplers: [], eta_samplers: [], rescale_tasks: [], max_clip_skip: 0, image_guidance: null };
  expect(withOptions({ prompt: "a cat" }, chosen, plain)).toEqual({ prompt: "a cat" });
  expect([countChosen(model, chosen), countChosen(plain, chosen)]).toEqual([5, 0]);
});

test("what a browser kept is read, whatever stands there", () => {
  expect(parseOptions(JSON.stringify(chosen))).toEqual(chosen);
  for (const text of [null, "", "{", "7", "null", '{"eta":"1","sampler":3}']) expect(parseOptions(text)).toEqual(USUAL);
});
