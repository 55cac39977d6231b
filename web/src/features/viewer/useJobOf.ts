import { useEffect, useState } from "react";
import type { Client } from "../../api/client";
import type { Job, OwnImage } from "../../api/types";

/** The job that made a picture, for its parameters; null until it is known. A picture stands without it. */
export function useJobOf(client: Client, image: OwnImage | null): Job | null {
  const [job, setJob] = useState<Job | null>(null);
  const id = image?.job_id;

  useEffect(() => {
    if (id === undefined) return;
    const leaving = new AbortController();
    client.job(id, leaving.signal).then(setJob, () => setJob(null));
    return () => leaving.abort();
  }, [client, id]);

  return job?.id === id ? job : null;
}
