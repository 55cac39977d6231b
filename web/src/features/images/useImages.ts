import { useCallback, useEffect, useMemo, useState } from "react";
import type { Client } from "../../api/client";
import { problemOf } from "../../api/failure";
import type { Job, OwnImage, Problem, Whose } from "../../api/types";

interface Shelf {
  images: readonly OwnImage[];
  cursor: string | null;
  isReading: boolean;
  problem: Problem | null;
}

export interface Images extends Shelf {
  whose: Whose;
  /** Whether the tenant shows me what others of it made. */
  seesTenant: boolean;
  choose(whose: Whose): void;
  /** Put the pictures of a job that has ended among the others. */
  add(job: Job): void;
  /** Look for new ones. */
  refresh(): void;
  loadMore(): void;
}

const EMPTY: Shelf = { images: [], cursor: null, isReading: true, problem: null };

/** My pictures, or those of my tenant, newest first, a page at a time. */
export function useImages(client: Client): Images {
  const [shelf, setShelf] = useState<Shelf>(EMPTY);
  const [whose, setWhose] = useState<Whose>("mine");
  const [seesTenant, setSeesTenant] = useState(false);

  const read = useCallback(
    async (cursor: string | null, signal?: AbortSignal) => {
      setShelf((known) => ({ ...known, isReading: true, problem: null }));
      try {
        const page = await client.images(cursor, whose, signal);
        if (signal?.aborted) return;
        setShelf((known) => ({
          images: merge(known.images, page.images),
          cursor: page.next_cursor,
          isReading: false,
          problem: null,
        }));
      } catch (error) {
        if (!signal?.aborted) setShelf((known) => ({ ...known, isReading: false, problem: problemOf(error) }));
      }
    },
    [client, whose],
  );

  useEffect(() => {
    const leaving = new AbortController();
    void read(null, leaving.signal);
    return () => leaving.abort();
  }, [read]);

  useEffect(() => {
    const leaving = new AbortController();
    // without an answer there is no choice: my own pictures need none
    client.me(leaving.signal).then((me) => setSeesTenant(me.sees_tenant), () => {});
    return () => leaving.abort();
  }, [client]);

  const choose = useCallback((next: Whose) => {
    setShelf(EMPTY);
    setWhose(next);
  }, []);

  const add = useCallback((job: Job) => {
    setShelf((known) => ({ ...known, images: merge(known.images, imagesOf(job)) }));
  }, []);

  const refresh = useCallback(async () => {
    try {
      const page = await client.images(null, whose);
      setShelf((known) => {
        const last = page.images.at(-1);
        const hasGap = last !== undefined && page.next_cursor !== null && !known.images.some((image) => keyOf(image) === keyOf(last));
        if (known.images.length === 0 || hasGap) return { images: page.images, cursor: page.next_cursor, isReading: false, problem: null };
        return { ...known, images: merge(known.images, page.images), problem: null };
      });
    } catch {
      // the rest of the page says that the server is away
    }
  }, [client, whose]);

  return useMemo(
    () => ({ ...shelf, whose, seesTenant, choose, add, refresh: () => void refresh(), loadMore: () => void read(shelf.cursor) }),
    [shelf, whose, seesTenant, choose, add, refresh, read],
  );
}

export function imagesOf(job: Job): OwnImage[] {
  const created_at = job.finished_at ?? job.created_at;
  return job.images.map((image) => ({ ...image, job_id: job.id, prompt: job.prompt, created_at, owner: job.owner }));
}

/** One name per picture: equal bytes of two jobs share a URL. */
export function keyOf(image: OwnImage): string {
  return `${image.job_id} ${image.url}`;
}

/** All of both, newest first. */
function merge(known: readonly OwnImage[], more: readonly OwnImage[]): readonly OwnImage[] {
  const keys = new Set(known.map(keyOf));
  const added = more.filter((image) => !keys.has(keyOf(image)));
  if (added.length === 0) return known;
  return [...known, ...added].sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at));
}
