import { useCallback, useEffect, useState } from "react";
import type { Client } from "../../api/client";
import { problemOf } from "../../api/failure";
import type { Job, OwnImage, Problem } from "../../api/types";

interface Shelf {
  images: readonly OwnImage[];
  cursor: string | null;
  isReading: boolean;
  problem: Problem | null;
}

export interface Images extends Shelf {
  /** Put the pictures of a job that has just ended first. */
  add(job: Job): void;
  loadMore(): void;
}

/** My pictures, newest first, a page at a time. */
export function useImages(client: Client): Images {
  const [shelf, setShelf] = useState<Shelf>({ images: [], cursor: null, isReading: true, problem: null });

  const read = useCallback(
    async (cursor: string | null, signal?: AbortSignal) => {
      setShelf((known) => ({ ...known, isReading: true, problem: null }));
      try {
        const page = await client.images(cursor, signal);
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
    [client],
  );

  useEffect(() => {
    const leaving = new AbortController();
    void read(null, leaving.signal);
    return () => leaving.abort();
  }, [read]);

  const add = useCallback((job: Job) => {
    setShelf((known) => ({ ...known, images: merge(imagesOf(job), known.images) }));
  }, []);

  return { ...shelf, add, loadMore: () => void read(shelf.cursor) };
}

export function imagesOf(job: Job): OwnImage[] {
  const created_at = job.finished_at ?? job.created_at;
  return job.images.map((image) => ({ ...image, job_id: job.id, prompt: job.prompt, created_at }));
}

/** One name per picture: equal bytes of two jobs share a URL. */
export function keyOf(image: OwnImage): string {
  return `${image.job_id} ${image.url}`;
}

function merge(first: readonly OwnImage[], then: readonly OwnImage[]): OwnImage[] {
  const known = new Set(first.map(keyOf));
  return [...first, ...then.filter((image) => !known.has(keyOf(image)))];
}
