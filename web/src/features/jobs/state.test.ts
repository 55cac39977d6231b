import { expect, test } from "vitest";
import { aJob } from "../../testing/gateway";
import { describe } from "./state";

test("a picture that was not drawn again is marked", () => {
  expect(describe(aJob({ state: "succeeded", reused: true }))).toBe("Done, reused");
  expect(describe(aJob({ state: "succeeded" }))).toBe("Done");
});
