import type { Asked, Job } from "../../api/types";
import { hasParameters, hasSeed, hasStyle, withoutSeed } from "./words";

/** Whether `again` can say all that made the job: of an outpaint the API does not tell where its source lay. */
export function canAskAgain(job: Job): boolean {
  return job.parameters.task !== "outpaint";
}

/** The request that makes a job once more, with its source, its model and its settings. */
export function again(job: Job): Asked {
  const { task, source, mask, strength, scale, seed, sampler, styles, eta, guidance_rescale, clip_skip, image_guidance } = job.parameters;
  if (task === "upscale") return withoutNulls({ prompt: job.prompt, task, source, scale });
  const kept = hasParameters(job.prompt) ? {} : settings(job); // a field may not repeat what the prompt says
  return withoutNulls({
    ...kept,
    prompt: job.prompt,
    task: task === "generate" ? null : task,
    source,
    mask,
    strength: /--iw\b/i.test(job.prompt) ? null : strength,
    model: /--v(ersion)?\b/i.test(job.prompt) ? null : job.model,
    sampler: /--sampler\b/i.test(job.prompt) ? null : sampler,
    eta: eta === 0 || /--eta\b/i.test(job.prompt) ? null : eta,
    guidance_rescale: guidance_rescale === 0 || /--rescale\b/i.test(job.prompt) ? null : guidance_rescale,
    clip_skip: /--clip-skip\b/i.test(job.prompt) ? null : clip_skip,
    image_guidance,
    styles: styles.length === 0 || hasStyle(job.prompt) ? null : styles.map(({ name, weight }) => ({ name, weight })),
    speed: job.parameters.speed === "exact" || /--speed\b/i.test(job.prompt) ? null : job.parameters.speed,
    seed: hasSeed(job.prompt) ? null : seed,
  });
}

/** The same, but for the seed. */
export function againWithAnotherSeed(job: Job): Asked {
  const { seed: _, ...asked } = again(job);
  return { ...asked, prompt: withoutSeed(asked.prompt) };
}

function settings({ parameters }: Job): Omit<Asked, "prompt"> {
  const { num_steps, guidance_scale, width, height, negative_prompt } = parameters;
  return { num_steps, guidance_scale, width, height, negative_prompt: negative_prompt || null };
}

function withoutNulls(asked: { [Field in keyof Asked]: Asked[Field] | null }): Asked {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null)) as Asked;
}
