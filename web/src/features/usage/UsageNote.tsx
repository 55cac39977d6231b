import { count, lasting } from "./words";
import type { ThisMonth } from "./useUsage";
import "./usage.css";

/** What I used this month, and what of the quota is left. */
export function UsageNote({ usage }: { usage: ThisMonth | null }) {
  if (usage === null) return null;
  const { num_images, num_steps, gpu_s, left_s, quota_s } = usage;
  return (
    <section className="usage quiet" aria-label="Used this month">
      <p>
        This month: {count(num_images, "picture")}, {count(num_steps, "step")}, {lasting(gpu_s)} of drawing.
      </p>
      {left_s !== null && quota_s !== null && (
        <p>
          {left_s > 0
            ? `Of the ${lasting(quota_s)} in your tier ${lasting(left_s)} are left.`
            : `The ${lasting(quota_s)} in your tier are used up: until the next month your prompts wait in the free lane.`}
        </p>
      )}
    </section>
  );
}
