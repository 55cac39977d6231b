import type { Job, Loading, Problem, Progress } from "../../api/types";
import { isFinal } from "./state";

/** What the page knows of one job. */
export interface Entry {
  job: Job;
  /** When it was heard of last; of the same clock as `News.at`. */
  at: number;
  /** The newest preview as a data URL. */
  preview: string | null;
  /** The server cannot be heard at the moment. */
  isLost: boolean;
  /** The model that the job waits for while it is brought into memory. */
  loading: Loading | null;
  /** What went wrong with cancelling the job, apart from the job's own error. */
  problem: Problem | null;
}

export type News =
  /** at: when it was told, or for an answer, when it was asked for: what was heard meanwhile is newer. */
  | { kind: "job"; job: Job; at: number }
  | { kind: "progress"; id: string; progress: Progress; at: number }
  | { kind: "loading"; id: string; loading: Loading; at: number }
  | { kind: "lost" }
  | { kind: "found" }
  | { kind: "problem"; id: string; problem: Problem }
  | { kind: "dismiss"; ids: readonly string[] };

const MOST_SUCCEEDED = 100; // their pictures are in the gallery: the oldest need not be remembered here too

/** The entries, newest first, after one piece of news. */
export function learn(entries: readonly Entry[], news: News): readonly Entry[] {
  switch (news.kind) {
    case "job":
      return learnJob(entries, news.job, news.at);
    case "dismiss":
      return entries.filter((entry) => !news.ids.includes(entry.job.id));
    case "lost":
    case "found":
      return entries.map((entry) => (isOver(entry) ? entry : { ...entry, isLost: news.kind === "lost" }));
    default:
      return entries.map((entry) => (entry.job.id === news.id && !isFinal(entry.job) ? change(entry, news) : entry));
  }
}

/** Whether nothing more is expected of the job. */
export function isOver({ job, problem }: Entry): boolean {
  return isFinal(job) || problem !== null;
}

function learnJob(entries: readonly Entry[], job: Job, at: number): readonly Entry[] {
  const known = entries.find((entry) => entry.job.id === job.id);
  if (known !== undefined) {
    if (isFinal(known.job) || known.at > at) return entries;
    const learned = { ...known, job: withWhatIsKnown(job, known.job), at, isLost: false, loading: null, problem: null };
    return forget(entries.map((entry) => (entry === known ? learned : entry)));
  }
  const older = entries.findIndex((entry) => entry.job.created_at <= job.created_at);
  const entry: Entry = { job, at, preview: null, isLost: false, loading: null, problem: null };
  return forget(entries.toSpliced(older === -1 ? entries.length : older, 0, entry));
}

/** A row's step is written now and then, events tell each; an event does not tell the place in the queue. */
function withWhatIsKnown(job: Job, known: Job): Job {
  if (job.state !== known.state) return job;
  if (job.state === "running") return { ...job, step: Math.max(job.step, known.step) };
  return { ...job, position: job.position ?? known.position };
}

function forget(entries: readonly Entry[]): readonly Entry[] {
  let succeeded = 0;
  return entries.filter(({ job }) => job.state !== "succeeded" || ++succeeded <= MOST_SUCCEEDED);
}

function change(entry: Entry, news: Extract<News, { id: string }>): Entry {
  switch (news.kind) {
    case "progress": {
      const { step, num_steps, preview } = news.progress;
      const job: Job = { ...entry.job, state: "running", position: null, step, num_steps };
      const told = { job, preview: preview ?? entry.preview, at: news.at };
      return { ...entry, ...told, isLost: false, loading: null, problem: null };
    }
    case "loading":
      return { ...entry, at: news.at, isLost: false, loading: news.loading };
    case "problem":
      return { ...entry, isLost: false, problem: news.problem };
  }
}
