import { expect, test } from "vitest";
import { aJob } from "../../testing/gateway";
import { announcement } from "./Announcer";
import { learn, type Entry, type News } from "./entries";
import { describe as words, describeLoading } from "./state";

const after = (...news: News[]): readonly Entry[] => news.reduce(learn, [] as readonly Entry[]);
const job = (changes: Parameters<typeof aJob>[0] = {}, at = 0): News => ({ kind: "job", job: aJob(changes), at });

test("a new job comes first", () => {
  const entries = after(job({ id: "old" }), job({ id: "new" }));
  expect(entries.map((entry) => entry.job.id)).toEqual(["new", "old"]);
});

test("progress without a preview keeps the last one", () => {
  const [entry] = after(
    job(),
    { kind: "progress", id: "j1", progress: { step: 3, num_steps: 30, preview: "data:a" }, at: 0 },
    { kind: "progress", id: "j1", progress: { step: 4, num_steps: 30, preview: null }, at: 0 },
  );
  expect(entry).toMatchObject({ preview: "data:a", job: { state: "running", step: 4 } });
});

test("jobs are in the order in which they were made, whenever one hears of them", () => {
  const entries = after(job({ id: "b", created_at: "2026-01-02T03:04:06Z" }), job({ id: "a" }), job({ id: "c", created_at: "2026-01-02T03:04:07Z" }));
  expect(entries.map((entry) => entry.job.id)).toEqual(["c", "b", "a"]);
});

test("an answer that was asked for before the last event is old", () => {
  const progress = { step: 12, num_steps: 30, preview: null };
  const [entry] = after(job({ state: "running" }, 1), { kind: "progress", id: "j1", progress, at: 5 }, job({ state: "queued" }, 4));
  expect(entry?.job).toMatchObject({ state: "running", step: 12 });
});

test("a row's step, written now and then, sets none back; an event's missing place keeps the one that is known", () => {
  expect(after(job({ state: "running", step: 9 }), job({ state: "running", step: 3 }, 1))[0]?.job.step).toBe(9);
  expect(after(job({ position: 4 }), job({ position: null }, 1))[0]?.job.position).toBe(4);
});

test("a step that is told after the end changes nothing", () => {
  const progress = { step: 12, num_steps: 30, preview: null };
  const [entry] = after(job({ state: "cancelled" }), { kind: "progress", id: "j1", progress, at: 1 });
  expect(entry?.job.state).toBe("cancelled");
});

test("of the jobs that gave pictures the last hundred are remembered", () => {
  const many = Array.from({ length: 120 }, (_, n) => job({ id: `j${n}`, state: "succeeded", created_at: new Date(n).toISOString() }));
  const entries = after(...many, job({ id: "open", created_at: new Date(0).toISOString() }));
  expect(entries).toHaveLength(101);
  expect([entries[0]?.job.id, entries.at(-1)?.job.id]).toEqual(["j119", "open"]);
});

test("an end is not undone by a late answer", () => {
  const [entry] = after(job({ state: "cancelled" }), job({ state: "running" }));
  expect(entry?.job.state).toBe("cancelled");
});

test("a lost connection is over with the next news", () => {
  const lost = after(job(), { kind: "lost" });
  expect(lost[0]?.isLost).toBe(true);
  expect(learn(lost, job({ state: "running" }))[0]?.isLost).toBe(false);
});

test("a job that waits for its model says so until its first step", () => {
  const waiting = after(job({ state: "running" }), { kind: "loading", id: "j1", loading: { model: "ink", share: 0.4 }, at: 0 });
  expect(waiting[0]?.loading).toEqual({ model: "ink", share: 0.4 });
  const progress = { step: 1, num_steps: 30, preview: null };
  expect(learn(waiting, { kind: "progress", id: "j1", progress, at: 0 })[0]?.loading).toBeNull();
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
    announcement({ job: aJob({ state: "running", step }), at: 0, preview: null, isLost: false, loading: null, problem: null });
  expect(said(8)).toBe("a red apple: 25 percent");
  expect(said(9)).toBe(said(8));
  expect(said(15)).toBe("a red apple: 50 percent");
});
