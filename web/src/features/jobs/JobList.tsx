import { JobCard } from "./JobCard";
import type { Jobs } from "./useJobs";
import { ProblemNote } from "../problem/ProblemNote";
import "./jobs.css";

interface Props {
  jobs: Jobs;
  shown: string | null;
  onShow: (id: string) => void;
  onRetry: (prompt: string) => void;
}

export function JobList({ jobs, shown, onShow, onRetry }: Props) {
  const entries = jobs.entries.filter((entry) => entry.job.state !== "succeeded");
  if (entries.length === 0 && jobs.problem === null) return null;
  return (
    <section aria-label="In the works">
      <ProblemNote problem={jobs.problem} />
      <ul className="job-list">
        {entries.map((entry) => (
          <JobCard
            key={entry.job.id}
            entry={entry}
            isShown={entry.job.id === shown}
            onShow={() => onShow(entry.job.id)}
            onCancel={() => void jobs.cancel(entry.job.id)}
            onDismiss={() => jobs.dismiss(entry.job.id)}
            onRetry={() => {
              jobs.dismiss(entry.job.id);
              onRetry(entry.job.prompt);
            }}
          />
        ))}
      </ul>
    </section>
  );
}
