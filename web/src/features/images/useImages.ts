import { useCallback, useEffect, useState } from "react";
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
  /** Put the pictures of a job that has just ended first. */
  add(job: Job): void;
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
    setShelf((known) => ({ ...known, images: merge(imagesOf(job), known.images) }));
  }, []);

  return { ...shelf, whose, seesTenant, choose, add, loadMore: () => void read(shelf.cursor) };
}

export function imagesOf(job: Job): OwnImage[] {
  const created_at = job.finished_at ?? job.created_at;
  return job.images.map((image) => ({ ...image, job_id: job.id, prompt: job.prompt, created_at, owner: job.owner }));
}

/** One name per picture: equal bytes of two jobs share a URL. */
export function keyOf(image: OwnImage): string {
  return `${image.job_id} ${image.url}`;
}

function merge(first: readonly OwnImage[], then: readonly OwnImage[]): OwnImage[] {
  const known = new Set(first.map(keyOf));
  return [...first, ...then.filter((image) => !known.has(keyOf(image)))];
}
