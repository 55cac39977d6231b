import { expect, test } from "vitest";
import { aJob, anImage, anOwnImage } from "../../testing/gateway";
import type { Entry } from "../jobs/entries";
import { chooseShown } from "./shown";

const entry = (id: string): Entry => ({ job: aJob({ id, images: [anImage()] }), at: 0, preview: null, isLost: false, loading: null, problem: null });
const old = anOwnImage({ job_id: "old" });

test("an empty table stays empty", () => {
  expect(chooseShown(null, [], [])).toBeNull();
});

test("without a choice the newest job lies on the table, else the newest picture", () => {
  expect(chooseShown(null, [entry("new"), entry("older")], [old])?.entry?.job.id).toBe("new");
  expect(chooseShown(null, [], [old])?.image).toBe(old);
});

test("a chosen picture stays, whatever is in the works", () => {
  expect(chooseShown({ kind: "image", image: old }, [entry("new")], [])).toEqual({ entry: null, image: old });
});

test("a chosen job shows its picture; once dismissed, the newest picture of mine", () => {
  const choice = { kind: "job", id: "b" } as const;
  expect(chooseShown(choice, [entry("a"), entry("b")], [old])?.image?.job_id).toBe("b");
  expect(chooseShown(choice, [entry("a")], [old])?.image).toBe(old);
});
