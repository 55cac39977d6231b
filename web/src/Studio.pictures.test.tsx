// @vitest-environment jsdom
import { act, cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { accepted, aJob, anImage, anOwnImage, json, refusal, type Request } from "./testing/gateway";
import { box, model, open, prepareBrowser } from "./testing/studio";

let socket: ReturnType<typeof prepareBrowser>;

beforeEach(() => {
  socket = prepareBrowser();
});
afterEach(cleanup);

test("a picture of mine goes on with another seed or gives back its prompt", async () => {
  const seen = open({
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
    "POST /v1/jobs": () => accepted(aJob({ id: "j2" })),
  });
  await userEvent.click(await screen.findByText("Use this prompt"));
  expect((box() as HTMLTextAreaElement).value).toBe("a red apple --seed 7");
  await waitFor(() => expect(document.activeElement).toBe(box()));
  await userEvent.click(screen.getByText("Again with another seed"));
  expect(seen.find((request) => request.method === "POST")?.body).toEqual({ prompt: "a red apple", model: "mezzotint-starter", new: true });
});

test("a picture of mine is varied and enlarged, where the model can", async () => {
  const seen = open({
    "GET /v1/images": () => json({ images: [anOwnImage({ prompt: "a red apple --seed 7 --ar 3:2" })], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
    "POST /v1/jobs": () => accepted(aJob({ id: "j2" })),
  });
  const made = within(await screen.findByRole("group", { name: "Make of this picture" }));
  await userEvent.click(await made.findByText("Vary a little"));
  await userEvent.click(within(screen.getByRole("list", { name: "My pictures" })).getByRole("button"));
  await userEvent.click(await screen.findByText("Enlarge 4×"));
  expect(seen.filter((request) => request.method === "POST").map((request) => request.body)).toEqual([
    { prompt: "a red apple --ar 3:2", task: "variation", source: "aa", strength: 0.5, new: true },
    { prompt: "a red apple --seed 7", task: "upscale", source: "aa", scale: 4, new: true },
  ]);
});

test("options that the model heeds go with a prompt and with an edit, and stay in the browser", async () => {
  const seen = open({
    "GET /v1/model": () => json({ ...model, tasks: ["generate", "edit"], image_guidance: 1.5, max_clip_skip: 2, embeddings: ["charm"] }),
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
    "POST /v1/jobs": () => accepted(aJob({ id: "j2" })),
  });
  await userEvent.click(await screen.findByText("More options"));
  expect(screen.queryByLabelText("Eta")).toBeNull();
  await userEvent.selectOptions(screen.getByLabelText("Sampler"), "DDIM");
  await userEvent.type(screen.getByLabelText("Eta"), "0.5");
  await userEvent.type(screen.getByLabelText("Clip skip"), "2");
  await userEvent.type(screen.getByLabelText("Image guidance"), "3");
  await userEvent.type(screen.getByLabelText("Change this picture"), "make it green{Enter}");
  await userEvent.type(box(), "a cat");
  await userEvent.click(screen.getByRole("button", { name: "charm" }));
  await userEvent.type(box(), "{Enter}");
  const drawn = { sampler: "DDIM", eta: 0.5, clip_skip: 2 };
  expect(seen.filter((request) => request.method === "POST").map((request) => request.body)).toEqual([
    { prompt: "make it green", task: "edit", source: "aa", ...drawn, image_guidance: 3, new: true },
    { prompt: "a cat charm", ...drawn, new: true },
  ]);
  cleanup();
  open({ "GET /v1/model": () => json({ ...model, samplers: [], eta_samplers: [] }) });
  await screen.findByText("More options"); // a model that heeds none of them
  cleanup();
  open();
  await userEvent.click(await screen.findByText("More options: 2 chosen"));
  await userEvent.click(screen.getByRole("button", { name: "As usual" }));
  await screen.findByText("More options");
});

test("one of several models is chosen for what is drawn, not for what is enlarged", async () => {
  const seen = open({
    "GET /v1/models": () => json({ object: "list", data: [{ id: "starter" }, { id: "ink" }] }),
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
    "POST /v1/jobs": () => accepted(aJob({ id: "j2" })),
  });
  await userEvent.selectOptions(await screen.findByLabelText("Model"), "ink");
  await vi.waitFor(() => expect(seen.some((request) => request.path === "/v1/model?name=ink")).toBe(true));
  await userEvent.click(await screen.findByText("Enlarge 2×"));
  await userEvent.type(box(), "a cat{Enter}");
  expect(seen.filter((request) => request.method === "POST").map((request) => request.body)).toEqual([
    { prompt: "a red apple --seed 7", task: "upscale", source: "aa", scale: 2, new: true },
    { prompt: "a cat", model: "ink", new: true },
  ]);
});

test("a job that waits for its model tells how much of that is read", async () => {
  open({
    "POST /v1/jobs": () => accepted(aJob()),
  });
  await userEvent.type(box(), "a red apple{Enter}");
  const sheet = await screen.findByRole("article", { name: "a red apple" });
  await act(() => socket.tell(aJob({ state: "running" })));
  await act(() => socket.tellOf("j1", "loading", { model: "ink", share: 0.25 }));
  await within(sheet).findByText("Loading ink, 25 %");
  expect(within(sheet).getByRole("progressbar", { name: /^Model of/ }).getAttribute("value")).toBe("0.25");
  await act(() => socket.tellOf("j1", "loading", { model: "ink", share: 1 }));
  await within(sheet).findByText("Setting up ink");
  expect(within(sheet).getByRole("progressbar", { name: /^Model of/ }).getAttribute("value")).toBeNull();
});

test("where there is one model there is nothing to choose", async () => {
  open();
  await screen.findByText(/^Draws small pictures/);
  expect(screen.queryByLabelText("Model")).toBeNull();
});

test("what the model cannot do has no button", async () => {
  open({
    "GET /v1/model": () => json({ ...model, tasks: ["generate"] }),
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
  });
  await screen.findByText("Use this prompt");
  expect(screen.queryByText("Vary a little")).toBeNull();
  expect(screen.queryByText("Enlarge 2×")).toBeNull();
});

test("older pictures come by the cursor, and the arrows walk the grid", async () => {
  const pages = [
    { images: [anOwnImage({ job_id: "a", prompt: "one" }), anOwnImage({ job_id: "b", prompt: "two" })], next_cursor: "c1" },
    { images: [anOwnImage({ job_id: "b", prompt: "two" }), anOwnImage({ job_id: "c", prompt: "three" })], next_cursor: null },
  ];
  const seen = open({ "GET /v1/images": () => json(pages.shift()), "GET /v1/jobs/a": () => json(aJob({ id: "a" })) });
  await userEvent.click(await screen.findByText("Load more"));
  await screen.findByAltText("three");
  const list = screen.getByRole("list", { name: "My pictures" });
  expect(within(list).getAllByRole("button")).toHaveLength(3);
  expect(seen.some((request) => request.path.endsWith("cursor=c1"))).toBe(true);
  expect(screen.queryByText("Load more")).toBeNull();
  await waitFor(() => expect(document.activeElement).toBe(within(list).getByAltText("three").closest("button"))); // not the body
  act(() => within(list).getByAltText("one").closest("button")?.focus());
  await userEvent.keyboard("{End}");
  await waitFor(() => expect(document.activeElement).toBe(within(list).getByAltText("three").closest("button")));
});

test("what this month took is told anew with each picture, and what is left", async () => {
  const month = { month: "2026-01", num_jobs: 1, num_images: 1, num_steps: 30, gpu_s: 3.21, waived_s: 0 };
  const told = [
    { tenant: "ada", quota_s: 36_000, months: [] },
    { tenant: "ada", quota_s: 36_000, months: [month] },
  ];
  const seen = open({
    "POST /v1/jobs": () => accepted(aJob()),
    "GET /v1/usage": () => json(told.shift()),
  });
  const note = within(await screen.findByRole("region", { name: "Used this month" }));
  expect(note.getByText("This month: 0 pictures, 0 steps, 0 s of drawing.")).toBeTruthy();
  await userEvent.type(box(), "a red apple{Enter}");
  await act(() => socket.tell(aJob({ state: "succeeded", step: 30, images: [anImage()] })));
  await note.findByText("This month: 1 picture, 30 steps, 3.2 s of drawing.");
  expect(note.getByText("Of the 10 h in your tier 10 h are left.")).toBeTruthy();
  expect(seen.filter((request) => request.path === `/v1/usage?since=${new Date().toISOString().slice(0, 7)}`)).toHaveLength(2);
});

test.each([
  [null, null],
  [10, "The 10 s in your tier are used up: until the next month your prompts wait in the free lane."],
])("a quota of %s s that was drawn for longer", async (quota_s, words) => {
  const month = { month: "2026-01", num_jobs: 9, num_images: 9, num_steps: 270, gpu_s: 12, waived_s: 0 };
  open({ "GET /v1/usage": () => json({ tenant: "ada", quota_s, months: [month] }) });
  const note = await screen.findByRole("region", { name: "Used this month" });
  expect([...note.querySelectorAll("p")].slice(1).map((line) => line.textContent)).toEqual(words === null ? [] : [words]);
});

test("the note tells what the model knows and how to load another", async () => {
  open();
  await screen.findByText(/^Draws small pictures. A prompt far/);
  expect(screen.getByText("animals")).toBeTruthy();
  expect(screen.getByText(model.load_another)).toBeTruthy();
});

const me = { tenant: "acme", tier: "pro", step_budget: 80, sees_tenant: true };

test("a tenant that shows it lets me choose between my pictures and the team's", async () => {
  const images = ({ path }: Request) =>
    json({
      images: [anOwnImage({ prompt: path.includes("of=tenant") ? "a colleague's cat" : "my dog" })],
      next_cursor: null,
    });
  const seen = open({ "GET /v1/me": () => json(me), "GET /v1/images": images });
  await within(screen.getByRole("list", { name: "My pictures" })).findByAltText("my dog");
  const choice = await screen.findByRole("group", { name: "Whose pictures" });
  await userEvent.click(within(choice).getByRole("button", { name: "Team" }));
  await within(screen.getByRole("list", { name: "The team's pictures" })).findByAltText("a colleague's cat");
  expect(screen.queryByAltText("my dog")).toBeNull();
  await userEvent.click(within(choice).getByRole("button", { name: "Mine" }));
  await within(screen.getByRole("list", { name: "My pictures" })).findByAltText("my dog");
  expect(seen.filter(({ path }) => path.startsWith("/v1/images")).map(({ path }) => path.includes("of=tenant"))).toEqual([
    false,
    true,
    false,
  ]);
});

test("without the tenant's leave there is nothing to choose", async () => {
  open({
    "GET /v1/me": () => json({ ...me, sees_tenant: false }),
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
  });
  await within(screen.getByRole("list", { name: "My pictures" })).findByAltText("a red apple");
  expect(screen.queryByRole("group", { name: "Whose pictures" })).toBeNull();
});

test("a picture's content credentials are read from its file when they are opened", async () => {
  const origin = {
    png: "aa",
    validity: "trusted",
    problems: [],
    signer: "Mezzotint signer",
    model: "mezzotint-starter",
    made_at: "2026-11-28T17:03:11Z",
    recipe: null,
  };
  const seen = open({
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
    "GET /v1/jobs/j1/provenance": () => json({ images: [{ ...origin, png: "bb", validity: "invalid" }, origin] }),
  });
  const summary = await screen.findByText("Content credentials");
  expect(seen.some((request) => request.path.endsWith("/provenance"))).toBe(false);
  await userEvent.click(summary);
  const told = await screen.findByText(/^Signed; the signer is trusted here, by Mezzotint signer, made with mezzotint-starter, on .*2026/);
  expect(told.textContent).toContain("without its prompt");
});

test("content credentials that cannot be read say so", async () => {
  open({
    "GET /v1/images": () => json({ images: [anOwnImage()], next_cursor: null }),
    "GET /v1/jobs/j1": () => json(aJob({ state: "succeeded", images: [anImage()] })),
  });
  await userEvent.click(await screen.findByText("Content credentials"));
  expect(await screen.findByText("They cannot be read at the moment.")).toBeTruthy();
});

test("a dropped file fills the prompt and is made again as exactly as it tells", async () => {
  const request = { prompt: "a red apple", seed: 7, num_steps: 30, sampler: null, width: 64, height: 64 };
  const found = {
    origin: "automatic1111",
    software: "v1.10.1",
    prompt: "a red apple --seed 7 --steps 30",
    request,
    notes: ['starter has no sampler "Heun"; its own is used.'],
    pairs: {},
  };
  const seen = open({ "POST /v1/inspect": () => json(found), "POST /v1/jobs": () => accepted(aJob()) });
  const file = new File(["png"], "apple.png", { type: "image/png" });
  fireEvent.drop(box(), { dataTransfer: { files: [file], types: ["Files"] } });
  const note = await screen.findByRole("region", { name: "How apple.png was drawn" });
  expect((box() as HTMLTextAreaElement).value).toBe("a red apple --seed 7 --steps 30");
  expect(note.textContent).toContain("by v1.10.1: 30 steps, seed 7");
  expect(within(note).getByText('starter has no sampler "Heun"; its own is used.')).toBeTruthy();
  await userEvent.click(within(note).getByRole("button", { name: "Make again" }));
  const { sampler: _, ...told } = request;
  expect(seen.find(({ path, method }) => path === "/v1/jobs" && method === "POST")?.body).toEqual({ ...told, new: true });
});

test("a file that tells nothing is said beside the prompt, which stays", async () => {
  open({ "POST /v1/inspect": () => refusal(422, "recipe_missing", "The file does not tell how.", "Ask for the original.") });
  await userEvent.type(box(), "a cat");
  await userEvent.upload(screen.getByLabelText("Read a file"), new File(["x"], "x.png", { type: "image/png" }));
  expect(await screen.findByText("The file does not tell how.")).toBeTruthy();
  expect((box() as HTMLTextAreaElement).value).toBe("a cat");
});
