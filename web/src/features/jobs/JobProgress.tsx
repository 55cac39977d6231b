import type { Entry } from "./entries";
import { describe, describeLoading } from "./state";
import "./jobs.css";

/** The steps, or the loading of the model, as a bar and in words. A waiting job's bar has no value and breathes. */
export function JobProgress({ entry: { job, isLost, loading }, name }: { entry: Entry; name: string }) {
  const words = isLost ? "Connection lost, trying again" : loading ? describeLoading(loading) : describe(job);
  const isSettingUp = loading?.share === 1;
  const [value, max] = loading ? [loading.share, 1] : [job.step, job.num_steps];
  const isCounting = job.state === "running" && !isSettingUp;
  return (
    <div className="job-progress">
      <progress
        aria-label={loading ? `Model of ${name}` : `Steps of ${name}`}
        max={max}
        {...(isCounting ? { value } : {})}
      />
      <span className="steps">{words}</span>
    </div>
  );
}
