import { expect, test } from "vitest";
import { aJob } from "../../testing/gateway";
import { announcement } from "./Announcer";
import { learn, type Entry, type News } from "./entries";
import { describe as words, describeLoading } from "./state";

const after = (...news: News[]): readonly Entry[] => news.reduce(learn, [] as readonly Entry[]);

test("a new job comes first", () => {
  const entries = after({ kind: "job", job: aJob({ id: "old" }) }, { kind: "job", job: aJob({ id: "new" }) });
  expect(entries.map((entry) => entry.job.id)).toEqual(["new", "old"]);
});

test("progress without a preview keeps the last one", () => {
  const [entry] = after(
    { kind: "job", job: aJob() },
    { kind: "progress", id: "j1", progress: { step: 3, num_steps: 30, preview: "data:a" } },
    { kind: "progress", id: "j1", progress: { step: 4, num_steps: 30, preview: null } },
  );
  expect(entry).toMatchObject({ preview: "data:a", job: { state: "running", step: 4 } });
});

test("an end is not undone by a late answer", () => {
  const [entry] = after({ kind: "job", job: aJob({ state: "cancelled" }) }, { kind: "job", job: aJob({ state: "running" }) });
  expect(entry?.job.state).toBe("cancelled");
});

test("a lost connection is over with the next news", () => {
  const lost = after({ kind: "job", job: aJob() }, { kind: "lost", id: "j1" });
  expect(lost[0]?.isLost).toBe(true);
  expect(learn(lost, { kind: "job", job: aJob({ state: "running" }) })[0]?.isLost).toBe(false);
});

test("a job that waits for its model says so until its first step", () => {
  const waiting = after({ kind: "job", job: aJob({ state: "running" }) }, { kind: "loading", id: "j1", loading: { model: "ink", share: 0.4 } });
  expect(waiting[0]?.loading).toEqual({ model: "ink", share: 0.4 });
  const progress = { step: 1, num_steps: 30, preview: null };
  expect(learn(waiting, { kind: "progress", id: "j1", progress })[0]?.loading).toBeNull();
});

test("a job's words tell its place, its step and its end", () => {
  expect(words(aJob({ position: 3 }))).toBe("Waiting, 3 ahead in the queue");
  expect(words(aJob({ position: 0 }))).toBe("Next in the queue");
  expect(words(aJob({ state: "running", step: 12 }))).toBe("Step 12 of 30");
  expect(words(aJob({ state: "running", step: 30 }))).toBe("Finishing");
  expect(words(aJob({ state: "blocked" }))).toContain("safety filter");
});

test("a model's loading is told in whole percent, and what comes after the reading in words", () => {
  const said = [0, 0.297, 0.999, 1].map((share) => describeLoading({ model: "ink", share }));
  expect(said).toEqual(["Loading ink, 0 %", "Loading ink, 29 %", "Loading ink, 99 %", "Setting up ink"]);
});

test("screen readers hear quarters, not steps", () => {
  const said = (step: number) =>
    announcement({ job: aJob({ state: "running", step }), preview: null, isLost: false, problem: null });
  expect(said(8)).toBe("a red apple: 25 percent");
  expect(said(9)).toBe(said(8));
  expect(said(15)).toBe("a red apple: 50 percent");
});
