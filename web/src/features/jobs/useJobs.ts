import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import type { Client } from "../../api/client";
import { problemOf } from "../../api/failure";
import { followFeed, type FeedNews } from "../../api/feed";
import type { Asked, Job, JobState, Me, Problem } from "../../api/types";
import { keepDismissed, readDismissed } from "./dismissed";
import { isOver, learn, type Entry } from "./entries";
import { isFinal } from "./state";

const OPEN: readonly JobState[] = ["queued", "running"];
const WITHOUT_PICTURE: readonly JobState[] = ["blocked", "failed", "cancelled", "expired"];
const TOLD_FOR_MS = 24 * 3_600_000; // how long an end without a picture is told to one who was away
const ASK_AGAIN_MS = 5_000;

export interface Jobs {
  entries: readonly Entry[];
  /** Why the list of jobs could not be read, if so. */
  problem: Problem | null;
  submit(asked: Asked): Promise<Job>;
  cancel(ids: readonly string[]): void;
  dismiss(ids: readonly string[]): void;
}

/**
 * The jobs of this person that are not done with: open ones, and those that ended without a picture.
 * onSucceeded: a job has ended with pictures. onFound: the server is heard, at first or again.
 */
export function useJobs(client: Client, onSucceeded: (job: Job) => void, onFound: () => void): Jobs {
  const [entries, tell] = useReducer(learn, []);
  const [problem, setProblem] = useState<Problem | null>(null);
  const latest = useRef({ entries, onSucceeded, onFound });
  useEffect(() => {
    latest.current = { entries, onSucceeded, onFound };
  });

  const hear = useCallback((job: Job, at: number) => {
    tell({ kind: "job", job, at });
    if (job.state === "succeeded") latest.current.onSucceeded(job);
  }, []);

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    let isReading = false;

    /** What the server has: the open jobs, and with `isWhole` what ended without a picture of late. */
    async function read(isWhole: boolean) {
      if (isReading) return;
      isReading = true;
      const at = performance.now();
      try {
        const open = await readOpen(client, signal);
        const ended = isWhole ? await readEnded(client, signal) : [];
        [...open, ...ended].reverse().forEach((job) => hear(job, at));
        setProblem(null);
        const listed = new Set(open.map((job) => job.id));
        const gone = latest.current.entries.filter((one) => !isOver(one) && one.at < at && !listed.has(one.job.id));
        for (const { job } of gone) hear(await client.job(job.id, signal), at);
      } catch (error) {
        if (!signal.aborted && isWhole) setProblem(problemOf(error));
      } finally {
        isReading = false;
      }
    }

    function onNews(news: FeedNews) {
      const at = performance.now();
      if (news.type === "job") hear(news.data, at);
      else if (news.type === "progress") tell({ kind: "progress", id: news.job_id, progress: news.data, at });
      else if (news.type === "loading") tell({ kind: "loading", id: news.job_id, loading: news.data, at });
      else if (news.type === "lost") tell({ kind: "lost" });
      else if (news.type === "hello") {
        tell({ kind: "found" });
        latest.current.onFound();
        void read(true);
      }
    }

    async function follow() {
      const name = await client.me(signal).then(feedName, () => null);
      if (!signal.aborted) await followFeed({ client, name, signal, onNews });
    }

    void read(true);
    void follow();
    // places in the queue change untold, and an event can be lost between servers
    const timer = setInterval(() => {
      if (document.visibilityState === "visible" && !latest.current.entries.every(isOver)) void read(false);
    }, ASK_AGAIN_MS);
    const onStorage = () => tell({ kind: "dismiss", ids: readDismissed() }); // by another tab
    addEventListener("storage", onStorage);
    return () => {
      removeEventListener("storage", onStorage);
      clearInterval(timer);
      leaving.abort();
    };
  }, [client, hear]);

  const submit = useCallback(
    async (asked: Asked) => {
      const at = performance.now();
      const accepted = await client.submit(asked);
      accepted.jobs.forEach((job) => hear(job, at));
      return accepted;
    },
    [client, hear],
  );

  const cancel = useCallback(
    (ids: readonly string[]) => {
      for (const id of ids)
        client.cancel(id).then(
          (job) => hear(job, performance.now()),
          (error: unknown) => tell({ kind: "problem", id, problem: problemOf(error) }),
        );
    },
    [client, hear],
  );

  const dismiss = useCallback((ids: readonly string[]) => {
    keepDismissed(ids);
    tell({ kind: "dismiss", ids });
  }, []);

  return { entries, problem, submit, cancel, dismiss };
}

/** What two tabs must have in common to be told the same. */
function feedName({ tenant, owner, scopes }: Me): string {
  return `mezzotint.feed ${JSON.stringify([tenant, owner, scopes])}`;
}

async function readOpen(client: Client, signal: AbortSignal): Promise<Job[]> {
  const open: Job[] = [];
  let cursor: string | null = null;
  do {
    const page = await client.jobs(OPEN, cursor, signal);
    open.push(...page.jobs);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return open;
}

async function readEnded(client: Client, signal: AbortSignal): Promise<Job[]> {
  const since = Date.now() - TOLD_FOR_MS;
  const dismissed = readDismissed();
  const { jobs } = await client.jobs(WITHOUT_PICTURE, null, signal);
  return jobs.filter((job) => isFinal(job) && Date.parse(job.finished_at ?? job.created_at) > since && !dismissed.includes(job.id));
}
