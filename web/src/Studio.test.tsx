// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient } from "./api/client";
import { Studio } from "./Studio";
import { accepted, aJob, answer, anImage, anOwnImage, json, refusal, sockets, type Request } from "./testing/gateway";

const model = {
  name: "starter",
  about: "Draws small pictures.",
  knows: ["animals"],
  examples: ["a red apple", "a green heart"],
  native_width: 64,
  native_height: 64,
  grid_px: 8,
  min_px: 64,
  max_px: 128,
  default_steps: 30,
  tasks: ["generate", "variation", "upscale"],
  license: "Apache-2.0",
  load_another: "mezzotint serve --model black-forest-labs/FLUX.1-schnell",
};

const idle = {
  "GET /v1/model": () => json(model),
  "GET /v1/models": () => json({ object: "list", data: [{ id: "starter" }] }),
  "GET /healthz": () => json({ status: "ok", version: "1", model: { name: "starter", state: "ready" } }),
  "GET /v1/me": () => json({ tenant: "ada", user: null, via: "token", scopes: [] }),
  "GET /v1/jobs": () => json({ jobs: [], next_cursor: null }),
  "GET /v1/images": () => json({ images: [], next_cursor: null }),
};

let socket: ReturnType<typeof sockets>;

type Routes = Parameters<typeof answer>[0];

function open(routes: Routes = {}): Request[] {
  const seen = answer({ ...idle, ...routes });
  render(<Studio client={createClient("t")} />);
  return seen;
}

const box = () => screen.getByLabelText("Describe a picture");

beforeEach(() => {
  socket = sockets();
  localStorage.clear();
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
  Element.prototype.scrollIntoView = () => {};
});
afterEach(cleanup);

test("a prompt becomes a picture: steps, previews, then seed, download and a place in the grid", async () => {
  const seen = open({
    "POST /v1/jobs": () => accepted(aJob()),
  });
  await userEvent.type(box(), "a red apple --seed 7{Enter}");
  const sheet = await screen.findByRole("article", { name: "a red apple" });
  expect(within(sheet).getByText("Waiting, 1 ahead in the queue")).toBeTruthy();
  expect(seen.find((request) => request.method === "POST")?.body).toEqual({ prompt: "a red apple --seed 7", new: true });

  await act(() => socket.tellOf("j1", "progress", { step: 12, num_steps: 30, preview: "data:image/webp;base64,AA" }));
  await within(sheet).findByText("Step 12 of 30");
  expect(within(sheet).getByRole("progressbar").getAttribute("value")).toBe("12");
  expect(within(sheet).getByAltText("Preview of a red apple").getAttribute("src")).toBe("data:image/webp;base64,AA");

  await act(() => socket.tell(aJob({ state: "succeeded", step: 30, images: [anImage()] })));
  const picture = await within(sheet).findByAltText("a red apple");
  expect(picture.getAttribute("src")).toBe("/i/aa.webp");
  expect(within(sheet).getByText("seed 7")).toBeTruthy();
  const download = within(sheet).getByText("Download PNG");
  expect([download.getAttribute("href"), download.getAttribute("download")]).toEqual(["/i/aa.png", "a-red-apple-seed-7.png"]);
  expect(within(screen.getByRole("list", { name: "My pictures" })).getAllByAltText("a red apple")).toHaveLength(1);
});

test("a chosen style goes with every prompt that names none itself", async () => {
  const style = { name: "woodcut", about: "One ink.", models: ["starter"], default_weight: 1, trigger_words: [], adds_trigger_words: false };
  const seen = open({
    "GET /v1/styles": () => json({ styles: [style] }),
    "POST /v1/jobs": () => accepted(aJob()),
  });
  await screen.findByRole("option", { name: "woodcut" });
  await userEvent.selectOptions(screen.getByLabelText("Style"), "woodcut");
  await userEvent.type(box(), "a cat{Enter}");
  await userEvent.clear(box());
  await userEvent.type(box(), "a dog --style ink:.5{Enter}");
  const sent = seen.filter((request) => request.method === "POST").map((request) => request.body);
  expect(sent).toEqual([
    { prompt: "a cat", styles: [{ name: "woodcut" }], new: true },
    { prompt: "a dog --style ink:.5", new: true },
  ]);
});

test("Shift+Enter writes a line, and an input method's Enter sends nothing", async () => {
  const seen = open();
  await userEvent.type(box(), "a red{Shift>}{Enter}{/Shift}apple");
  expect((box() as HTMLTextAreaElement).value).toBe("a red\napple");
  const enter = new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true });
  act(() => void box().dispatchEvent(enter));
  expect(seen.filter((request) => request.method === "POST")).toEqual([]);
});

test("a refusal stands beside the prompt with its hint, and the prompt stays", async () => {
  open({ "POST /v1/jobs": () => refusal(422, "steps_over_budget", "60 steps are over your budget.", "Ask for 30.", "prompt") });
  await userEvent.type(box(), "a red apple --steps 60{Enter}");
  expect((await screen.findByText("60 steps are over your budget.")).closest("[role=alert]")).not.toBeNull();
  expect(screen.getByText("Ask for 30.")).toBeTruthy();
  expect(box().getAttribute("aria-invalid")).toBe("true");
  expect((box() as HTMLTextAreaElement).value).toBe("a red apple --steps 60");
});

test("a server that is away is said beside the prompt", async () => {
  open();
  await userEvent.type(box(), "a red apple{Enter}");
  await screen.findByText("The server does not answer.");
});

test("jobs that were running when the page was opened are followed", async () => {
  open({
    "GET /v1/jobs": ({ path }) =>
      json({ jobs: path.includes("state=running") ? [aJob({ state: "running", step: 4 })] : [], next_cursor: null }),
  });
  await screen.findByRole("button", { name: "Show a red apple" });
  expect(screen.getAllByText("Step 4 of 30")).toHaveLength(2);
});

test("cancelling asks the server and shows what it says", async () => {
  const seen = open({
    "POST /v1/jobs": () => accepted(aJob()),
    "DELETE /v1/jobs/j1": () => json(aJob({ state: "cancelled" })),
  });
  await userEvent.type(box(), "a red apple{Enter}");
  await userEvent.click(await screen.findByRole("button", { name: "Cancel a red apple" }));
  await screen.findByRole("button", { name: "Dismiss a red apple" });
  expect(seen.some((request) => request.method === "DELETE")).toBe(true);
});

test("every job of a prompt with choices is followed", async () => {
  open({
    "POST /v1/jobs": () => accepted(aJob({ batch: "j1" }), aJob({ id: "j2", batch: "j1" })),
  });
  await userEvent.type(box(), "a {{red, green} apple{Enter}");
  for (const id of ["j1", "j2"]) await act(() => socket.tell(aJob({ id, state: "running", step: 8 })));
  expect(within(screen.getByRole("list", { name: "In the works: 2" })).getAllByText("Step 8 of 30")).toHaveLength(2);
});

test("a blurred picture says who blurred it", async () => {
  open({ "POST /v1/jobs": () => accepted(aJob()) });
  await userEvent.type(box(), "a red apple{Enter}");
  await act(() => socket.tell(aJob({ state: "succeeded", images: [anImage({ verdict: "blur" })] })));
  await screen.findByText(/The safety filter blurred this picture/);
});

test("a job that fails keeps its card with message and hint until it is dismissed", async () => {
  open({ "POST /v1/jobs": () => accepted(aJob()) });
  await userEvent.type(box(), "a red apple{Enter}");
  const error = { code: "image_blocked", message: "The picture was held back.", hint: "Change the prompt." };
  await act(() => socket.tell(aJob({ state: "blocked", error })));
  const list = within(screen.getByRole("list", { name: "Ended without a picture" }));
  await list.findByText("The picture was held back.");
  expect(list.getByText("Change the prompt.")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Dismiss a red apple" }));
  expect(screen.queryByText("The picture was held back.")).toBeNull();
});

test("jobs that ended without a picture while nobody looked tell why, until they are put away", async () => {
  const error = { code: "worker_lost", message: "The worker was lost.", hint: "Try again." };
  const finished_at = new Date().toISOString();
  const long_ago = new Date(Date.now() - 25 * 3_600_000).toISOString();
  const jobs = [
    aJob({ id: "j2", prompt: "a cat", state: "failed", error, finished_at }),
    aJob({ id: "j3", prompt: "a dog", state: "expired", finished_at: long_ago }),
  ];
  const routes = { "GET /v1/jobs": ({ path }: Request) => json({ jobs: path.includes("failed") ? jobs : [], next_cursor: null }) };
  open(routes);
  await screen.findByText("The worker was lost.");
  expect(screen.queryByText("a dog")).toBeNull();
  expect(screen.getByRole("article", { name: "No picture yet" })).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Dismiss a cat" }));
  await waitFor(() => expect(document.activeElement).toBe(box()));
  cleanup();
  open(routes);
  await act(() => socket.hello());
  expect(screen.queryByText("The worker was lost.")).toBeNull();
});

test("all open jobs are listed, page by page, and cancelled with one press", async () => {
  const page = (from: number) => Array.from({ length: 100 }, (_, n) => aJob({ id: `j${from + n}`, prompt: `cat ${from + n}` }));
  const seen = open({
    "GET /v1/jobs": ({ path }) => {
      if (!path.includes("queued")) return json({ jobs: [], next_cursor: null });
      return path.includes("cursor=c") ? json({ jobs: page(100), next_cursor: null }) : json({ jobs: page(0), next_cursor: "c" });
    },
  });
  await screen.findByRole("heading", { name: "In the works: 200" });
  await waitFor(() => expect(document.title).toBe("200 in the works · Mezzotint"));
  expect(document.querySelectorAll(".job-card")).toHaveLength(5);
  await userEvent.click(screen.getByText("Show all 200"));
  expect(document.querySelectorAll(".job-card")).toHaveLength(200);
  await userEvent.click(screen.getByText("Cancel all"));
  await waitFor(() => expect(seen.filter((request) => request.method === "DELETE")).toHaveLength(200));
});

test("a second Enter on Cancel does not ask for the job again", async () => {
  const seen = open({
    "POST /v1/jobs": () => accepted(aJob()),
    "DELETE /v1/jobs/j1": () => json(aJob({ state: "cancelled" })),
  });
  await userEvent.type(box(), "a red apple{Enter}");
  (await screen.findByRole("button", { name: "Cancel a red apple" })).focus();
  await userEvent.keyboard("{Enter}");
  await screen.findByRole("button", { name: "Try again: a red apple" });
  await userEvent.keyboard("{Enter}");
  expect(seen.filter((request) => request.method === "POST")).toHaveLength(1);
});

test("a second Enter right after the first is no second wish", async () => {
  const seen = open({ "POST /v1/jobs": () => accepted(aJob()) });
  await userEvent.type(box(), "a red apple{Enter}");
  await screen.findByRole("article", { name: "a red apple" });
  await userEvent.keyboard("{Enter}");
  expect(seen.filter((request) => request.method === "POST")).toHaveLength(1);
});

test("a job that another tab or program makes shows here, and its picture", async () => {
  open();
  await act(() => socket.tell(aJob({ state: "running" })));
  await screen.findByRole("button", { name: "Cancel a red apple" });
  await act(() => socket.tell(aJob({ state: "succeeded", images: [anImage()] })));
  expect(within(screen.getByRole("list", { name: "My pictures" })).getAllByAltText("a red apple")).toHaveLength(1);
  expect(screen.getByRole("status", { name: "" }).textContent).toContain("a red apple: Done");
});

test("a server that is back takes away what said that it was gone", async () => {
  open();
  await userEvent.type(box(), "a red apple{Enter}");
  await screen.findByText("The server does not answer.");
  await act(() => socket.hello());
  expect(screen.queryByText("The server does not answer.")).toBeNull();
});

test("a failed variation is tried again with its source, its strength and its model", async () => {
  const parameters = { ...aJob().parameters, task: "variation", source: "aa", strength: 0.5 } as const;
  const error = { code: "out_of_memory", message: "No memory.", hint: "" };
  const seen = open({ "POST /v1/jobs": () => accepted(aJob({ id: "j2" })) });
  await act(() => socket.tell(aJob({ state: "failed", model: "ink", parameters, error })));
  await userEvent.click(screen.getByRole("button", { name: "Try again: a red apple" }));
  expect(seen.find((request) => request.method === "POST")?.body).toEqual({
    prompt: "a red apple --seed 7",
    task: "variation",
    source: "aa",
    strength: 0.5,
    model: "ink",
    new: true,
  });
});

test("the model that was chosen is chosen the next time, if it is still served", async () => {
  const served = (...names: string[]) => ({
    "GET /v1/models": () => json({ object: "list", data: names.map((id) => ({ id })) }),
  });
  open(served("starter", "ink"));
  await userEvent.selectOptions(await screen.findByLabelText("Model"), "ink");
  cleanup();
  open(served("starter", "ink"));
  expect(((await screen.findByLabelText("Model")) as HTMLSelectElement).value).toBe("ink");
  cleanup();
  open(served("starter", "pen"));
  expect(((await screen.findByLabelText("Model")) as HTMLSelectElement).value).toBe("starter");
});

test("a prompt that met the end of the session is there after the next sign-in", async () => {
  open({ "POST /v1/jobs": () => refusal(401, "session_invalid", "The session ended.", "Sign in again.") });
  await userEvent.type(box(), "a red apple{Enter}");
  await screen.findByText("The session ended.");
  cleanup();
  open();
  expect((box() as HTMLTextAreaElement).value).toBe("a red apple");
});

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
