import type { Job, JobState, Loading } from "../../api/types";

const FINAL: ReadonlySet<JobState> = new Set(["succeeded", "blocked", "failed", "cancelled", "expired"]);

export function isFinal(job: Job): boolean {
  return FINAL.has(job.state);
}

/** Where the job is, in a few words. */
export function describe(job: Job): string {
  switch (job.state) {
    case "queued":
      return waiting(job.position);
    case "running":
      return job.step >= job.num_steps ? "Finishing" : `Step ${job.step} of ${job.num_steps}`;
    case "succeeded":
      return job.reused ? "Done, reused" : "Done";
    case "blocked":
      return "Held back by the safety filter";
    case "failed":
      return "Failed";
    case "cancelled":
      return "Cancelled";
    case "expired":
      return "Waited too long";
  }
}

/** How far the model is that a job waits for. */
export function describeLoading({ model, share }: Loading): string {
  return share < 1 ? `Loading ${model}, ${Math.floor(100 * share)} %` : `Setting up ${model}`;
}

function waiting(ahead: number | null): string {
  if (ahead === null) return "Waiting";
  return ahead === 0 ? "Next in the queue" : `Waiting, ${ahead} ahead in the queue`;
}
