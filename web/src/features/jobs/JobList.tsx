import { useRef, useState, type RefObject } from "react";
import type { Job } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import { title } from "../prompt/words";
import { isOver, type Entry } from "./entries";
import { JobCard } from "./JobCard";
import type { Jobs } from "./useJobs";
import "./jobs.css";

const FEW = 5;

interface Props {
  jobs: Jobs;
  shown: string | null;
  /** What gets the focus when the last card goes. */
  box: RefObject<HTMLTextAreaElement | null>;
  onShow: (id: string) => void;
  onRetry: (job: Job) => void;
}

/** The jobs that are not done with: what runs, what waits in its order, what ended without a picture. */
export function JobList({ jobs, shown, box, onShow, onRetry }: Props) {
  const [isWhole, setIsWhole] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const entries = inOrder(jobs.entries.filter((entry) => entry.job.state !== "succeeded"));
  if (entries.length === 0 && jobs.problem === null) return null;
  const open = entries.filter((entry) => !isOver(entry));
  const ended = entries.filter(isOver);
  const visible = isWhole ? entries : entries.slice(0, FEW);
  const nameOf = namesOf(entries);

  function dismiss(ids: readonly string[], index: number) {
    const cards = list.current?.querySelectorAll<HTMLElement>(".open") ?? [];
    (ids.length > 1 ? box.current : (cards[index + 1] ?? cards[index - 1] ?? box.current))?.focus();
    jobs.dismiss(ids);
  }

  function cancelAll() {
    list.current?.querySelector<HTMLElement>(".open")?.focus();
    jobs.cancel(open.map((entry) => entry.job.id));
  }

  return (
    <section className="jobs" aria-labelledby="in-the-works">
      <header>
        <h2 id="in-the-works">{heading(open.length)}</h2>
        {open.length > 1 && (
          <button type="button" className="plain" onClick={cancelAll}>
            Cancel all
          </button>
        )}
        {ended.length > 1 && (
          <button type="button" className="plain" onClick={() => dismiss(ended.map((entry) => entry.job.id), 0)}>
            Dismiss all that ended
          </button>
        )}
      </header>
      <ProblemNote problem={jobs.problem} />
      <ul className="job-list" ref={list} aria-labelledby="in-the-works">
        {visible.map((entry, index) => (
          <JobCard
            key={entry.job.id}
            entry={entry}
            name={nameOf(entry.job)}
            isShown={entry.job.id === shown}
            onShow={() => onShow(entry.job.id)}
            onCancel={() => jobs.cancel([entry.job.id])}
            onDismiss={() => dismiss([entry.job.id], index)}
            onRetry={() => {
              dismiss([entry.job.id], index);
              onRetry(entry.job);
            }}
          />
        ))}
      </ul>
      {entries.length > FEW && (
        <button type="button" className="plain" aria-expanded={isWhole} onClick={() => setIsWhole(!isWhole)}>
          {isWhole ? "Show fewer" : `Show all ${entries.length}`}
        </button>
      )}
    </section>
  );
}

function heading(numOpen: number): string {
  if (numOpen === 0) return "Ended without a picture";
  return numOpen === 1 ? "In the works" : `In the works: ${numOpen}`;
}

/** Those that run, those that wait, oldest first, and those that ended, newest first. */
function inOrder(entries: readonly Entry[]): readonly Entry[] {
  const oldestFirst = entries.toReversed();
  const open = oldestFirst.filter((entry) => !isOver(entry));
  return [
    ...open.filter(({ job }) => job.state === "running"),
    ...open.filter(({ job }) => job.state !== "running"),
    ...entries.filter(isOver),
  ];
}

/** What jobs are called: by their words, and by their seed too where several have the same. */
function namesOf(entries: readonly Entry[]): (job: Job) => string {
  const seen = new Map<string, number>();
  for (const { job } of entries) seen.set(title(job.prompt), (seen.get(title(job.prompt)) ?? 0) + 1);
  return (job) => {
    const name = title(job.prompt);
    return (seen.get(name) ?? 0) > 1 ? `${name}, seed ${job.parameters.seed}` : name;
  };
}
