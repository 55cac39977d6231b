import { title } from "../prompt/words";
import type { Entry } from "./entries";
import { describe, isFinal } from "./state";

/** Tells screen readers how the newest job gets on: at each quarter, not at each step. */
export function Announcer({ entry }: { entry: Entry | undefined }) {
  return (
    <p className="unseen" role="status">
      {entry === undefined ? "" : announcement(entry)}
    </p>
  );
}

export function announcement({ job, isLost }: Entry): string {
  const name = title(job.prompt);
  if (isLost) return `${name}: connection lost, trying again`;
  if (job.state !== "running") return `${name}: ${isFinal(job) ? describe(job) : "waiting"}`;
  const quarters = Math.floor((4 * job.step) / Math.max(1, job.num_steps));
  return quarters === 0 ? `${name}: started` : `${name}: ${25 * quarters} percent`;
}
