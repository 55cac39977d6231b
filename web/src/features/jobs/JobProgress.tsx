import type { Entry } from "./entries";
import { describe } from "./state";
import "./jobs.css";

/** The step count as a bar and in words. A waiting job's bar has no value and breathes. */
export function JobProgress({ entry: { job, isLost, loading } }: { entry: Entry }) {
  const words = isLost ? "Connection lost, trying again" : loading ? `Loading ${loading}` : describe(job);
  const isCounting = job.state === "running" && !loading;
  return (
    <div className="job-progress">
      <progress
        aria-label={`Steps of ${job.prompt}`}
        max={job.num_steps}
        {...(isCounting ? { value: job.step } : {})}
      />
      <span className="steps">{words}</span>
    </div>
  );
}
