import type { Job, Loading, Progress } from "./types";

/** What `/v1/ws` tells: docs/reference/events.md. */
export type Message =
  | { type: "hello" | "keep-alive" }
  | { type: "job"; job_id: string; data: Job }
  | { type: "progress"; job_id: string; data: Progress }
  | { type: "loading"; job_id: string; data: Loading };

const OPENING_MS = 10_000;
const SILENCE_MS = 25_000; // the server says something every 10 s: longer silence is a dead connection

/** Pass on the messages of a socket until it closes, falls silent, the network goes, or `signal` ends it. */
export function listen(socket: WebSocket, signal: AbortSignal, onMessage: (message: Message) => void): Promise<void> {
  return new Promise((resolve) => {
    let watchdog = setTimeout(end, OPENING_MS);

    function end() {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", end);
      removeEventListener("offline", end);
      socket.onmessage = socket.onclose = null;
      socket.close();
      resolve();
    }

    socket.onmessage = ({ data }: MessageEvent<string>) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(end, SILENCE_MS);
      onMessage(JSON.parse(data) as Message);
    };
    socket.onclose = end;
    addEventListener("offline", end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
