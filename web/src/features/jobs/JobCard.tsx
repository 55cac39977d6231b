import type { Problem } from "../../api/types";
import { title } from "../prompt/words";
import type { Entry } from "./entries";
import { JobProgress } from "./JobProgress";
import { describe, isFinal } from "./state";

interface Props {
  entry: Entry;
  isShown: boolean;
  onShow: () => void;
  onCancel: () => void;
  onDismiss: () => void;
  onRetry: () => void;
}

/** A job that runs, waits, or ended without a picture. */
export function JobCard({ entry, isShown, onShow, onCancel, onDismiss, onRetry }: Props) {
  const { job, preview } = entry;
  const name = title(job.prompt);
  const problem = entry.problem ?? job.error;
  return (
    <li className="job-card" data-state={job.state} aria-current={isShown || undefined}>
      <button type="button" className="open" onClick={onShow} aria-label={`Show ${name}`}>
        {preview === null ? <span className="plate" /> : <img src={preview} alt="" width={56} height={56} />}
      </button>
      <div className="what">
        <p className="name">{name}</p>
        {isFinal(job) || entry.problem !== null ? <Ending words={describe(job)} problem={problem} /> : <JobProgress entry={entry} />}
      </div>
      <div className="deeds">
        {isFinal(job) || entry.problem !== null ? (
          <>
            {job.state !== "blocked" && (
              <button type="button" className="plain" onClick={onRetry} aria-label={`Try ${name} again`}>
                Try again
              </button>
            )}
            <button type="button" className="plain" onClick={onDismiss} aria-label={`Dismiss ${name}`}>
              Dismiss
            </button>
          </>
        ) : (
          <button type="button" className="plain" onClick={onCancel} aria-label={`Cancel ${name}`}>
            Cancel
          </button>
        )}
      </div>
    </li>
  );
}

function Ending({ words, problem }: { words: string; problem: Problem | null }) {
  return (
    <p className="ending">
      <strong>{problem?.message ?? words}</strong>
      {problem !== null && problem.hint !== "" && <span>{problem.hint}</span>}
    </p>
  );
}
