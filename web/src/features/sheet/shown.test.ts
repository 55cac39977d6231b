import { expect, test } from "vitest";
import { aJob, anImage, anOwnImage } from "../../testing/gateway";
import type { Entry } from "../jobs/entries";
import { lay } from "./shown";

const entry = (id: string): Entry => ({ job: aJob({ id, images: [anImage()] }), at: 0, preview: null, isLost: false, loading: null, problem: null });
const old = anOwnImage({ job_id: "old" });

test("an empty table stays empty", () => {
  expect(lay(null, [], [])).toBeNull();
});

test("without a choice the newest job lies on the table, else the newest picture", () => {
  expect(lay(null, [entry("new"), entry("older")], [old])?.entry?.job.id).toBe("new");
  expect(lay(null, [], [old])?.image).toBe(old);
});

test("a chosen picture stays, whatever is in the works", () => {
  expect(lay({ kind: "image", image: old }, [entry("new")], [])).toEqual({ entry: null, image: old });
});

test("a chosen job shows its picture; once dismissed, the newest picture of mine", () => {
  const choice = { kind: "job", id: "b" } as const;
  expect(lay(choice, [entry("a"), entry("b")], [old])?.image?.job_id).toBe("b");
  expect(lay(choice, [entry("a")], [old])?.image).toBe(old);
});
