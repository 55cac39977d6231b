import type { Asked, Model } from "../../api/types";

/** Settings of a drawing that were chosen; null: as the model has it. */
export interface Options {
  sampler: string | null;
  eta: number | null;
  guidance_rescale: number | null;
  clip_skip: number | null;
  image_guidance: number | null;
}

export const USUAL: Options = { sampler: null, eta: null, guidance_rescale: null, clip_skip: null, image_guidance: null };

type Numbers = Exclude<keyof Options, "sampler">;

interface Range {
  name: Numbers;
  label: string;
  min: number;
  max: number;
  step: number;
  title: string;
}

/** The numbers that the model heeds, with the sampler that was chosen. */
export function rangesOf(model: Model, chosen: Options): Range[] {
  const sampler = chosen.sampler ?? model.default_sampler;
  const ranges: (Range | false)[] = [
    model.eta_samplers.includes(sampler) && {
      name: "eta", label: "Eta", min: 0, max: 1, step: 0.05, title: "Noise that each step adds: 0 none, 1 as much as DDPM",
    },
    model.rescale_tasks.length > 0 && {
      name: "guidance_rescale", label: "Rescale", min: 0, max: 1, step: 0.05, title: "Contrast of guidance that is taken back: 0 none, 0.7 much",
    },
    model.max_clip_skip > 0 && {
      name: "clip_skip", label: "Clip skip", min: 1, max: model.max_clip_skip, step: 1, title: "Layer of the text encoder that is read, from the end",
    },
    model.image_guidance !== null && {
      name: "image_guidance", label: "Image guidance", min: 1, max: 10, step: 0.1, title: "How near an edit stays to its picture",
    },
  ];
  return ranges.filter((range) => range !== false);
}

/** How many of them are chosen and heeded by the model. */
export function countChosen(model: Model, chosen: Options): number {
  const sampler = chosen.sampler !== null && model.samplers.includes(chosen.sampler) ? 1 : 0;
  return sampler + rangesOf(model, chosen).filter(({ name }) => chosen[name] !== null).length;
}

const WRITTEN: Record<keyof Options, RegExp | null> = {
  sampler: /--sampler\b/i,
  eta: /--(eta|sampler)\b/i, // another sampler may pass over it
  guidance_rescale: /--rescale\b/i,
  clip_skip: /--clip-skip\b/i,
  image_guidance: null,
};

/** The wish with what was chosen, as far as its task and the model heed it and its prompt says nothing else. */
export function withOptions(wish: Asked, chosen: Options, model: Model | null): Asked {
  const task = wish.task ?? "generate";
  if (model === null || task === "upscale") return wish;
  const sampler = chosen.sampler !== null && model.samplers.includes(chosen.sampler) ? chosen.sampler : null;
  const heeded = new Set<keyof Options>(rangesOf(model, { ...chosen, sampler }).map(({ name }) => name));
  if (sampler !== null) heeded.add("sampler");
  if (!model.rescale_tasks.includes(task)) heeded.delete("guidance_rescale");
  if (task !== "edit") heeded.delete("image_guidance");
  const kept = Object.entries(chosen).filter(([name, value]) => {
    const option = name as keyof Options;
    return value !== null && heeded.has(option) && !WRITTEN[option]?.test(wish.prompt);
  });
  return { ...Object.fromEntries(kept), ...wish };
}

/** What a browser kept, or the usual where that cannot be read. */
export function parseOptions(text: string | null): Options {
  let found: unknown = null;
  try {
    found = JSON.parse(text ?? "null");
  } catch {
    // somebody else's
  }
  const kept = (typeof found === "object" && found !== null ? found : {}) as Record<string, unknown>;
  const number = (name: Numbers) => (typeof kept[name] === "number" && Number.isFinite(kept[name]) ? kept[name] : null);
  return {
    sampler: typeof kept.sampler === "string" ? kept.sampler : null,
    eta: number("eta"),
    guidance_rescale: number("guidance_rescale"),
    clip_skip: number("clip_skip"),
    image_guidance: number("image_guidance"),
  };
}
