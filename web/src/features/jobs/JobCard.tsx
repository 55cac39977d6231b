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
  const isOver = isFinal(job) || entry.problem !== null;
  return (
    <li className="job-card" data-state={job.state} aria-current={isShown || undefined}>
      <button type="button" className="open" onClick={onShow} aria-label={`Show ${name}`}>
        {preview === null ? <span className="plate" /> : <img src={preview} alt="" width={56} height={56} />}
      </button>
      <div className="what">
        <p className="name">{name}</p>
        {isOver ? <Ending entry={entry} /> : <JobProgress entry={entry} />}
      </div>
      <div className="deeds">
        {isOver ? (
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

function Ending({ entry: { job, problem } }: { entry: Entry }) {
  const why = problem ?? job.error;
  return (
    <p className="ending">
      <strong>{why?.message ?? describe(job)}</strong>
      {why !== null && why.hint !== "" && <span>{why.hint}</span>}
    </p>
  );
}
