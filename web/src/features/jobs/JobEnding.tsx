import type { Entry } from "./entries";
import { describe } from "./state";

/** Why a job ended without a picture, and what to do about it. */
export function JobEnding({ entry: { job, problem } }: { entry: Entry }) {
  const why = problem ?? job.error;
  return (
    <p className="ending">
      <strong>{why?.message ?? describe(job)}</strong>
      {why !== null && why.hint !== "" && <span>{why.hint}</span>}
    </p>
  );
}
