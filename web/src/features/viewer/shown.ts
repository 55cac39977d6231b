import type { OwnImage } from "../../api/types";
import { imagesOf } from "../images/useImages";
import { isOver, type Entry } from "../jobs/entries";

/** What was asked to be shown. */
export type Choice = { kind: "job"; id: string } | { kind: "image"; image: OwnImage };

/** What the viewer shows: a job without a picture yet, or a picture, with its job if that was seen at work. */
export type Shown = { entry: Entry; image: null } | { entry: Entry | null; image: OwnImage };

/** The choice if it is still there, else the newest job that runs or has a picture, else the newest picture. */
export function chooseShown(choice: Choice | null, entries: readonly Entry[], images: readonly OwnImage[]): Shown | null {
  if (choice?.kind === "image") return { entry: null, image: choice.image };
  const entry = entries.find((known) =>
    choice === null ? !isOver(known) || known.job.state === "succeeded" : known.job.id === choice.id,
  );
  const image = entry === undefined ? images[0] : imagesOf(entry.job)[0];
  if (image !== undefined) return { entry: entry ?? null, image };
  return entry === undefined ? null : { entry, image: null };
}

export function promptOf({ entry, image }: Shown): string {
  return image === null ? entry.job.prompt : image.prompt;
}
