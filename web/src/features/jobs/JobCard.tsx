import { useRef } from "react";
import { canAskAgain } from "../prompt/again";
import { isOver, type Entry } from "./entries";
import { JobEnding } from "./JobEnding";
import { JobProgress } from "./JobProgress";

interface Props {
  entry: Entry;
  /** What it is called; jobs of one prompt are told apart. */
  name: string;
  isShown: boolean;
  onShow: () => void;
  onCancel: () => void;
  onDismiss: () => void;
  onRetry: () => void;
}

/** A job that runs, waits, or ended without a picture. */
export function JobCard({ entry, name, isShown, onShow, onCancel, onDismiss, onRetry }: Props) {
  const { job, preview } = entry;
  const open = useRef<HTMLButtonElement>(null);

  function cancel() {
    open.current?.focus(); // the button goes: a second Enter must not meet the one that takes its place
    onCancel();
  }

  return (
    <li className="job-card" data-state={job.state} aria-current={isShown || undefined}>
      <button ref={open} type="button" className="open" onClick={onShow} aria-label={`Show ${name}`}>
        {preview === null ? <span className="plate" /> : <img src={preview} alt="" width={56} height={56} />}
      </button>
      <div className="what">
        <p className="name">{name}</p>
        {isOver(entry) ? <JobEnding entry={entry} /> : <JobProgress entry={entry} name={name} />}
      </div>
      <div className="deeds">
        {isOver(entry) ? (
          <>
            {job.state !== "blocked" && canAskAgain(job) && (
              <button type="button" className="plain" onClick={onRetry} aria-label={`Try again: ${name}`}>
                Try again
              </button>
            )}
            <button type="button" className="plain" onClick={onDismiss} aria-label={`Dismiss ${name}`}>
              Dismiss
            </button>
          </>
        ) : (
          <button type="button" className="plain" onClick={cancel} aria-label={`Cancel ${name}`}>
            Cancel
          </button>
        )}
      </div>
    </li>
  );
}
