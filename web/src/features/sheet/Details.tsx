import type { Image, Job } from "../../api/types";

/** How the picture was made. Waiting and drawing are told apart. */
export function Details({ job: { parameters, timings }, image }: { job: Job; image: Image }) {
  const rows: [string, string | null][] = [
    ["Size", `${image.width} × ${image.height} px`],
    ["Steps", String(parameters.num_steps)],
    ["Guidance", String(parameters.guidance_scale)],
    ["Without", parameters.negative_prompt || null],
    ["Waited", seconds(timings.queue_s)],
    ["Drawn in", seconds(timings.denoise_s)],
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
