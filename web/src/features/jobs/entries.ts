import type { Job, Loading, Problem, Progress } from "../../api/types";
import { isFinal } from "./state";

/** What the page knows of one job. */
export interface Entry {
  job: Job;
  /** The newest preview as a data URL. */
  preview: string | null;
  /** The server cannot be heard at the moment. */
  isLost: boolean;
  /** The model that the job waits for while it is brought into memory. */
  loading?: Loading | null;
  /** What went wrong with following or cancelling the job, apart from the job's own error. */
  problem: Problem | null;
}

export type News =
  | { kind: "job"; job: Job }
  | { kind: "progress"; id: string; progress: Progress }
  | { kind: "loading"; id: string; loading: Loading }
  | { kind: "lost"; id: string }
  | { kind: "problem"; id: string; problem: Problem };

/** The entries, newest first, after one piece of news. */
export function learn(entries: readonly Entry[], news: News): readonly Entry[] {
  if (news.kind === "job") return learnJob(entries, news.job);
  return entries.map((entry) => (entry.job.id === news.id ? change(entry, news) : entry));
}

export function dismiss(entries: readonly Entry[], id: string): readonly Entry[] {
  return entries.filter((entry) => entry.job.id !== id);
}

function learnJob(entries: readonly Entry[], job: Job): readonly Entry[] {
  const known = entries.find((entry) => entry.job.id === job.id);
  if (known === undefined) return [{ job, preview: null, isLost: false, problem: null }, ...entries];
  if (isFinal(known.job)) return entries; // a late answer to an earlier question
  return entries.map((entry) => (entry === known ? { ...known, job, isLost: false, loading: null, problem: null } : entry));
}

function change(entry: Entry, news: Exclude<News, { kind: "job" }>): Entry {
  switch (news.kind) {
    case "progress": {
      const { step, num_steps, preview } = news.progress;
      const job: Job = { ...entry.job, state: "running", position: null, step, num_steps };
      return { ...entry, job, preview: preview ?? entry.preview, isLost: false, loading: null, problem: null };
    }
    case "loading":
      return { ...entry, isLost: false, loading: news.loading };
    case "lost":
      return { ...entry, isLost: true };
    case "problem":
      return { ...entry, isLost: false, problem: news.problem };
  }
}
