import type { Client } from "./client";
import { Failure } from "./failure";
import { listen, type Message } from "./socket";

/** `hello`: from now on everything is told, what was before may have been missed. `lost`: the server does not answer. */
export type FeedNews = Message | { type: "lost" };

export interface Following {
  client: Client;
  /** Tabs with the same name are told the same; null: this tab keeps to itself. */
  name: string | null;
  signal: AbortSignal;
  onNews: (news: FeedNews) => void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 4_000;
const LEADER_SILENCE_MS = 30_000; // a leader tells something every 10 s, unless its tab was put to sleep
const LOOK_MS = 5_000;

/**
 * Tell of all jobs until `signal`. The tabs of a browser share one socket: the one that holds the lock listens and tells
 * the others; when it closes or sleeps, another takes over. Where there are no locks, as on plain http from another
 * machine, each tab has a socket of its own.
 */
export async function followFeed({ client, name, signal, onNews }: Following): Promise<void> {
  if (name === null || navigator.locks === undefined) return keepListening(client, signal, onNews);
  const channel = new BroadcastChannel(name);
  let heardAt = performance.now();
  let giveUpWaiting = () => {};
  channel.onmessage = ({ data }: MessageEvent<FeedNews>) => {
    heardAt = performance.now();
    onNews(data);
  };
  const watch = setInterval(() => {
    const isAsleep = performance.now() - heardAt > LEADER_SILENCE_MS;
    if (isAsleep && document.visibilityState === "visible") giveUpWaiting();
  }, LOOK_MS);

  let mustSteal = false;
  while (!signal.aborted) {
    const waiting = new AbortController();
    const leading = new AbortController();
    giveUpWaiting = () => {
      mustSteal = true;
      waiting.abort();
    };
    const options = mustSteal ? { steal: true } : { signal: AbortSignal.any([signal, waiting.signal]) };
    mustSteal = false;
    try {
      await navigator.locks.request(name, options, () => {
        giveUpWaiting = () => {};
        return keepListening(client, AbortSignal.any([signal, leading.signal]), (news) => {
          channel.postMessage(news);
          onNews(news);
        });
      });
    } catch {
      // the wait was given up, or another tab took the lock from this one
    }
    leading.abort();
    heardAt = performance.now();
  }
  clearInterval(watch);
  channel.close();
}

/** Listen to a socket; when it ends, see whether the server answers at all, and open another after a pause. */
async function keepListening(client: Client, signal: AbortSignal, tell: (news: FeedNews) => void): Promise<void> {
  let isLost = true;
  for (let failures = 0; !signal.aborted; failures += 1) {
    await listen(client.socket(), signal, (message) => {
      failures = 0;
      isLost = false;
      tell(message);
    });
    if (signal.aborted) return;
    try {
      await client.me(signal);
      if (isLost) tell({ type: "hello" }); // a proxy may let no socket through
      isLost = false;
    } catch (error) {
      if (signal.aborted) return;
      isLost = error instanceof Failure && !error.isFinal && error.status !== 429;
      if (isLost) tell({ type: "lost" });
    }
    await pause(Math.min(FIRST_RETRY_MS * 2 ** failures, LAST_RETRY_MS), signal);
  }
}

/** Wait, but no longer than until the network is back. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      removeEventListener("online", end);
      resolve();
    }
    signal.addEventListener("abort", end);
    addEventListener("online", end);
  });
}
