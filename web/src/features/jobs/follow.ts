import type { Client } from "../../api/client";
import { jobEvents, type JobEvent } from "../../api/events";
import { Failure } from "../../api/failure";
import type { StreamSlots } from "./slots";
import { isFinal } from "./state";

/** `lost`: nothing is known of the job for now, and following goes on. */
export type FollowEvent = JobEvent | { kind: "lost" };
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

export interface Following {
  client: Client;
  id: string;
  slots: StreamSlots;
  signal: AbortSignal;
  onEvent: (event: FollowEvent) => void;
  wait?: Wait;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 4_000;
const POLL_MS = 1_500;

/**
 * Tell of a job until it ends, or until `signal`: by its event stream; when that breaks, or all streams are taken, by
 * asking once after each pause, and then by a stream again. Throws `Failure` when the job is not there or not ours.
 */
export async function followJob({ client, id, slots, signal, onEvent, wait = pause }: Following): Promise<void> {
  let failures = 0;

  /** Pass events on; true when the job has ended. */
  async function pass(events: AsyncIterable<JobEvent>): Promise<boolean> {
    try {
      for await (const event of events) {
        failures = 0;
        onEvent(event);
        if (event.kind === "job" && isFinal(event.job)) return true;
      }
    } catch (error) {
      if (signal.aborted) return true;
      if (error instanceof Failure && error.isFinal) throw error;
      onEvent({ kind: "lost" });
    }
    failures += 1;
    return false;
  }

  while (!signal.aborted) {
    const slot = slots.take();
    try {
      if (slot !== null && (await pass(jobEvents(client, id, signal)))) return;
    } finally {
      slot?.release();
    }
    await wait(slot === null ? POLL_MS : Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS), signal);
    if (!signal.aborted && (await pass(ask(client, id, signal)))) return;
  }
}

async function* ask(client: Client, id: string, signal: AbortSignal): AsyncGenerator<JobEvent> {
  yield { kind: "job", job: await client.job(id, signal) };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
