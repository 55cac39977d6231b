// @vitest-environment jsdom
import { act, cleanup, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test } from "vitest";
import { accepted, aJob, anImage, json, refusal, type Request } from "./testing/gateway";
import { box, open, prepareBrowser } from "./testing/studio";

let socket: ReturnType<typeof prepareBrowser>;

beforeEach(() => {
  socket = prepareBrowser();
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
  await userEvent.click(screen.getByText("More options"));
  await userEvent.type(screen.getByLabelText("Weight of woodcut"), "0.5");
  await userEvent.clear(box());
  await userEvent.type(box(), "a heron{Enter}");
  expect(seen.at(-1)?.body).toEqual({ prompt: "a heron", styles: [{ name: "woodcut", weight: 0.5 }], new: true });
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
}, 30_000); // 200 cards are drawn

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

