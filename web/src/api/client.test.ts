import { expect, test } from "vitest";
import { answer, json, refusal } from "../testing/gateway";
import { createClient } from "./client";
import { problemOf } from "./failure";

test("a refusal keeps the server's words", async () => {
  answer({ "POST /v1/jobs": () => refusal(422, "prompt_empty", "The prompt is empty.", "Write one.", "prompt") });
  await expect(createClient("t").submit({ prompt: "" })).rejects.toMatchObject({
    status: 422,
    problem: { code: "prompt_empty", message: "The prompt is empty.", hint: "Write one.", param: "prompt" },
  });
});

test("an answer that is not the API's is named by its status", async () => {
  answer({ "GET /v1/me": () => new Response("<h1>Bad gateway</h1>", { status: 502 }) });
  await expect(createClient("t").me()).rejects.toMatchObject({ problem: { code: "http_502" } });
});

test("a server that is away is said to be away", async () => {
  answer({});
  const error = await createClient("t").me().catch((thrown: unknown) => thrown);
  expect(problemOf(error)).toMatchObject({ code: "unreachable" });
});

test("a refused token is reported to whoever keeps it", async () => {
  answer({ "GET /v1/me": () => refusal(401, "token_expired", "The token has expired.", "Get another.") });
  const codes: string[] = [];
  await createClient("t", (failure) => codes.push(failure.problem.code))
    .me()
    .catch(() => {});
  expect(codes).toEqual(["token_expired"]);
});

test("a cursor is sent as the server gave it", async () => {
  const seen = answer({ "GET /v1/images": () => json({ images: [], next_cursor: null }) });
  await createClient("t").images("a=b&c", "mine");
  expect(seen[0]?.path).toBe("/v1/images?limit=24&of=mine&cursor=a%3Db%26c");
});
