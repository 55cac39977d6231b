import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { aJob, answer, eventStream, refusal } from "../testing/gateway";
import { createClient } from "./client";
import { jobEvents, type JobEvent } from "./events";
import { Failure } from "./failure";

const client = createClient("t");
const stay = () => new AbortController().signal;

async function all(events: AsyncIterable<JobEvent>): Promise<JobEvent[]> {
  const seen: JobEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

describe("the event stream of a job", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("carries the token and yields jobs and progress in order, past comments", async () => {
    const stream = eventStream();
    const seen = answer({ "GET /v1/jobs/j1/events": stream.response });
    void stream.send("queued", aJob());
    void stream.sendBytes(new TextEncoder().encode(": keep-alive\n\n"));
    void stream.send("progress", { step: 1, num_steps: 30, preview: null });
    void stream.send("succeeded", aJob({ state: "succeeded" }));
    void stream.end();
    const events = await all(jobEvents(client, "j1", stay()));
    expect(events.map((event) => event.kind)).toEqual(["job", "progress", "job"]);
    expect(seen[0]?.token).toBe("Bearer t");
  });

  test("joins what the network cut apart, inside a letter too", async () => {
    const stream = eventStream();
    answer({ "GET /v1/jobs/j1/events": stream.response });
    const bytes = new TextEncoder().encode(`event: queued\r\ndata: ${JSON.stringify(aJob({ prompt: "ein Käfer 🪲" }))}\r\n\r\n`);
    for (const byte of bytes) void stream.sendBytes(Uint8Array.of(byte));
    void stream.end();
    const [event] = await all(jobEvents(client, "j1", stay()));
    expect(event).toMatchObject({ kind: "job", job: { prompt: "ein Käfer 🪲" } });
  });

  test("fails when it is torn", async () => {
    const stream = eventStream();
    answer({ "GET /v1/jobs/j1/events": stream.response });
    void stream.tear().catch(() => {});
    await expect(all(jobEvents(client, "j1", stay()))).rejects.toBeInstanceOf(Failure);
  });

  test("says why it was refused", async () => {
    answer({ "GET /v1/jobs/j1/events": () => refusal(404, "job_unknown", "No such job.", "List yours.") });
    await expect(all(jobEvents(client, "j1", stay()))).rejects.toMatchObject({ problem: { code: "job_unknown" } });
  });

  test("is given up when the server falls silent", async () => {
    const response = new Promise<Response>(() => {});
    vi.stubGlobal("fetch", (_url: string, init: RequestInit) =>
      Promise.race([response, new Promise((_, fail) => init.signal?.addEventListener("abort", () => fail(new Error())))]),
    );
    const given = expect(all(jobEvents(client, "j1", stay()))).rejects.toBeInstanceOf(Failure);
    await vi.advanceTimersByTimeAsync(10_000);
    await given;
  });
});
