import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import type { Client } from "../../api/client";
import { problemOf } from "../../api/failure";
import type { Asked, Job, Problem } from "../../api/types";
import { followJob } from "./follow";
import { createStreamSlots } from "./slots";
import { isFinal } from "./state";
import { dismiss, learn, type Entry, type News } from "./entries";

export interface Jobs {
  entries: readonly Entry[];
  /** Why the list of jobs could not be read, if so. */
  problem: Problem | null;
  submit(asked: Asked): Promise<Job>;
  cancel(id: string): Promise<void>;
  dismiss(id: string): void;
}

/** The jobs of this person that are not done with: running ones, and those that ended without a picture. */
export function useJobs(client: Client, onSucceeded: (job: Job) => void): Jobs {
  const [entries, tell] = useReducer(
    (known: readonly Entry[], news: News | { kind: "dismiss"; id: string }) =>
      news.kind === "dismiss" ? dismiss(known, news.id) : learn(known, news),
    [],
  );
  const [problem, setProblem] = useState<Problem | null>(null);
  const slots = useMemo(createStreamSlots, []);
  const followed = useRef(new Map<string, AbortController>());
  const succeeded = useRef(onSucceeded);
  useEffect(() => {
    succeeded.current = onSucceeded;
  });

  const follow = useCallback(
    (job: Job) => {
      if (followed.current.has(job.id)) return;
      const stop = new AbortController();
      followed.current.set(job.id, stop);
      tell({ kind: "job", job });
      followJob({
        client,
        id: job.id,
        slots,
        signal: stop.signal,
        onEvent: (event) => {
          if (stop.signal.aborted) return;
          tell(event.kind === "job" ? event : { ...event, id: job.id });
          if (event.kind === "job" && event.job.state === "succeeded") succeeded.current(event.job);
        },
      })
        .catch((error: unknown) => tell({ kind: "problem", id: job.id, problem: problemOf(error) }))
        .finally(() => {
          if (followed.current.get(job.id) === stop) followed.current.delete(job.id);
        });
    },
    [client, slots],
  );

  useEffect(() => {
    const reading = new AbortController();
    const following = followed.current;
    client
      .jobs(reading.signal)
      .then((page) => page.jobs.filter((job) => !isFinal(job)).reverse().forEach(follow))
      .catch((error: unknown) => {
        if (!reading.signal.aborted) setProblem(problemOf(error));
      });
    return () => {
      reading.abort();
      following.forEach((stop) => stop.abort());
      following.clear();
    };
  }, [client, follow]);

  const submit = useCallback(
    async (asked: Asked) => {
      const accepted = await client.submit(asked);
      accepted.jobs.forEach(follow);
      return accepted;
    },
    [client, follow],
  );

  const cancel = useCallback(
    async (id: string) => {
      try {
        tell({ kind: "job", job: await client.cancel(id) });
      } catch (error) {
        tell({ kind: "problem", id, problem: problemOf(error) });
      }
    },
    [client],
  );

  return { entries, problem, submit, cancel, dismiss: useCallback((id) => tell({ kind: "dismiss", id }), []) };
}
