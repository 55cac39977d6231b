/** The nouns of the API under the names that the page uses. `schema.ts` is generated: `npm run types`. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Job = Schemas["JobView"];
/** What became of a request: its first job, and all of them. */
export type Accepted = Schemas["Accepted"];
export type Task = Schemas["Task"];
/** What is asked for: a prompt, and what else differs from the defaults. */
export type Asked = Pick<Schemas["NewJob"], "prompt"> & Partial<Schemas["NewJob"]>;
/** How many of a job's steps may be foretold instead of computed. */
export type Speed = Schemas["Speed"];
export type JobState = Schemas["JobState"];
export type JobsPage = Schemas["JobPage"];
export type Image = Schemas["JobImage"];
export type OwnImage = Schemas["HistoryImage"];
export type ImagesPage = Schemas["ImagePage"];
/** What the content credentials of a picture's file say. */
export type Origin = Schemas["ImageOrigin"];
/** How a picture was drawn, as its file tells it. */
export type Recipe = Schemas["Inspected"];
export type Problem = Schemas["ErrorBody"];
export type Me = Schemas["Me"];
export type Usage = Schemas["UsageView"];
export type MonthUsage = Schemas["MonthUsage"];
export type Model = Schemas["ModelView"];
/** A style (LoRA) that jobs may name. */
export type Style = Schemas["StyleView"];
export type ListedModel = Schemas["OpenAIModel"];
export type Session = Schemas["Session"];
/** Whose things a list has: my own, or those of everybody in my tenant. */
export type Whose = Schemas["Whose"];
export type Health = Schemas["Health"];

/** Data of a `loading` event: the job's model, and how much of its weights is read, 0 to 1. */
export interface Loading {
  model: string;
  share: number;
}

/** Data of a `progress` event; OpenAPI has no word for what runs through a stream. */
export interface Progress {
  step: number;
  num_steps: number;
  /** The picture so far as a data URL. */
  preview: string | null;
}
