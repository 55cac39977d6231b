import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { Client } from "./client";
import { Failure } from "./failure";
import type { Job, Loading, Problem, Progress } from "./types";

export type JobEvent =
  | { kind: "job"; job: Job }
  | { kind: "progress"; progress: Progress }
  | { kind: "loading"; loading: Loading };

const FIRST_WORD_MS = 10_000; // the server sends the job at once: a proxy that holds streams back sends nothing
const SILENCE_MS = 25_000; // the server comments every 10 s: longer silence is a dead connection

/**
 * The events of one job until its stream ends. `EventSource` cannot send the Authorization header, hence fetch.
 * Throws `Failure` when the stream is refused, cannot be reached, breaks or falls silent.
 */
export async function* jobEvents(client: Client, id: string, signal: AbortSignal): AsyncGenerator<JobEvent> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  signal.addEventListener("abort", stop);
  let watchdog = setTimeout(stop, FIRST_WORD_MS);
  try {
    signal.throwIfAborted();
    const response = await client.events(id, connection.signal);
    if (response.status === 204) return; // its end was told before
    if (response.body === null) throw Failure.unreachable();
    const arrived: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => arrived.push(message) });
    const text = new TextDecoder();
    for await (const bytes of chunks(response.body)) {
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, SILENCE_MS);
      parser.feed(text.decode(bytes, { stream: true }));
      for (const message of arrived.splice(0)) yield readEvent(message);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof Failure ? error : Failure.unreachable();
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** The reader, not `for await` on the stream itself, which some browsers lack. */
async function* chunks(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}

function readEvent(message: EventSourceMessage): JobEvent {
  if (message.event === "error") throw new Failure(401, (JSON.parse(message.data) as { error: Problem }).error);
  if (message.event === "progress") return { kind: "progress", progress: JSON.parse(message.data) as Progress };
  if (message.event === "loading") return { kind: "loading", loading: JSON.parse(message.data) as Loading };
  return { kind: "job", job: JSON.parse(message.data) as Job };
}
