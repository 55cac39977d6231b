import { expect, test } from "vitest";
import { createClient } from "../../api/client";
import { aJob, answer, eventStream, json, refusal } from "../../testing/gateway";
import { followJob, type FollowEvent } from "./follow";
import { createStreamSlots } from "./slots";

const done = aJob({ state: "succeeded", step: 30 });

function follower(max = 1) {
  const seen: string[] = [];
  const pauses: number[] = [];
  const slots = createStreamSlots(max);
  const stop = new AbortController();
  const onEvent = (event: FollowEvent) =>
    seen.push(event.kind === "job" ? event.job.state : event.kind === "progress" ? `step ${event.progress.step}` : "lost");
  const run = () =>
    followJob({
      client: createClient("t"),
      id: "j1",
      slots,
      signal: stop.signal,
      onEvent,
      wait: (ms) => {
        pauses.push(ms);
        return Promise.resolve();
      },
    });
  return { seen, pauses, slots, stop, run };
}

function streamOf(...events: [string, unknown][]): () => Response {
  return () => {
    const stream = eventStream();
    for (const [event, data] of events) void stream.send(event, data);
    void stream.end();
    return stream.response();
  };
}

test("a stream is followed to the end of the job and its slot given back", async () => {
  answer({ "GET /v1/jobs/j1/events": streamOf(["running", aJob({ state: "running" })], ["progress", { step: 1, num_steps: 30, preview: null }], ["succeeded", done]) });
  const { seen, slots, run } = follower();
  await run();
  expect(seen).toEqual(["running", "step 1", "succeeded"]);
  expect(slots.take()).not.toBeNull();
});

test("a stream that breaks is opened again after a pause", async () => {
  const streams = [streamOf(["queued", aJob()]), streamOf(["succeeded", done])];
  answer({ "GET /v1/jobs/j1/events": () => streams.shift()!(), "GET /v1/jobs/j1": () => json(aJob({ state: "running" })) });
  const { seen, pauses, run } = follower();
  await run();
  expect(seen).toEqual(["queued", "running", "succeeded"]);
  expect(pauses).toEqual([500]);
});

test("pauses grow while the server is away, and it is found again", async () => {
  let refusals = 5;
  answer({
    "GET /v1/jobs/j1/events": () => {
      if (refusals-- > 0) throw new TypeError("Failed to fetch");
      return streamOf(["succeeded", done])();
    },
  });
  const { seen, pauses, run } = follower();
  await run();
  expect(seen.filter((word) => word === "lost").length).toBeGreaterThan(5);
  expect(seen.at(-1)).toBe("succeeded");
  expect(pauses).toEqual([500, 2000, 4000, 4000, 4000]);
});

test("where no stream ever works, asking finds the end", async () => {
  const answers = [aJob({ state: "running" }), aJob({ state: "running", step: 9 }), done];
  answer({ "GET /v1/jobs/j1": () => json(answers.shift()) });
  const { seen, run } = follower();
  await run();
  expect(seen.filter((word) => word !== "lost")).toEqual(["running", "running", "succeeded"]);
});

test("without a free stream the job is asked for", async () => {
  const seenRequests = answer({ "GET /v1/jobs/j1": () => json(done) });
  const { seen, run } = follower(0);
  await run();
  expect(seen).toEqual(["succeeded"]);
  expect(seenRequests.map((request) => request.path)).toEqual(["/v1/jobs/j1"]);
});

test("a job that is not there ends the following with the server's words", async () => {
  answer({ "GET /v1/jobs/j1/events": () => refusal(404, "job_unknown", "No such job.", "List yours.") });
  await expect(follower().run()).rejects.toMatchObject({ problem: { code: "job_unknown" } });
});

test("nothing is told after the page let go", async () => {
  const stream = eventStream();
  answer({ "GET /v1/jobs/j1/events": stream.response });
  const { seen, stop, run } = follower();
  const following = run();
  stop.abort();
  await following;
  expect(seen).toEqual([]);
});
