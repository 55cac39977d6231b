import type { Image, Job } from "../../api/types";

/** How the picture was made. Waiting and drawing are told apart. */
export function Details({ job, image }: { job: Job; image: Image }) {
  const { parameters, timings } = job;
  const isDrawn = parameters.task !== "upscale";
  const hasSteps = isDrawn && !job.reused;
  const rows: [string, string | null][] = [
    ["Size", `${image.width} × ${image.height} px`],
    ["Model", job.model],
    ["Style", parameters.styles.map(({ name, weight }) => (weight === 1 ? name : `${name} ${weight}`)).join(", ") || null],
    ["Enlarged", parameters.scale === null ? null : `${parameters.scale}×`],
    ["Strength", parameters.strength === null ? null : String(parameters.strength)],
    ["Steps", hasSteps ? String(job.step) : null], // a variation takes a part of those that were asked for
    ["Passes", job.num_forecast > 0 ? `${job.num_passes}, ${job.num_forecast} foretold (${parameters.speed})` : null],
    ["Guidance", isDrawn ? String(parameters.guidance_scale) : null],
    ["Sampler", parameters.sampler],
    ["Eta", parameters.eta === 0 ? null : String(parameters.eta)],
    ["Rescaled", parameters.guidance_rescale === 0 ? null : String(parameters.guidance_rescale)],
    ["Clip skip", parameters.clip_skip === null ? null : String(parameters.clip_skip)],
    ["Image guidance", parameters.image_guidance === null ? null : String(parameters.image_guidance)],
    ["Autoencoder", parameters.vae?.name ?? null],
    ["Embeddings", parameters.embeddings.map(({ name }) => name).join(", ") || null],
    ["Without", isDrawn ? parameters.negative_prompt || null : null],
    ["Waited", seconds(timings.queue_s)],
    ["Reused", job.reused ? "drawn before, for an equal request" : null],
    ["Drawn in", isDrawn ? seconds(timings.denoise_s) : null],
  ];
  return (
    <dl className="details">
      {rows.map(
        ([term, value]) =>
          value !== null && (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

function seconds(duration: number | null): string | null {
  return duration === null ? null : `${duration.toFixed(duration < 10 ? 1 : 0)} s`;
}
