/** The nouns of the API. */

export type JobState = "queued" | "running" | "succeeded" | "blocked" | "failed" | "cancelled" | "expired";

export interface Parameters {
  prompt: string;
  negative_prompt: string;
  seed: number;
  num_steps: number;
  guidance_scale: number;
  width: number;
  height: number;
}

export interface Image {
  url: string;
  png_url: string;
  seed: number;
  width: number;
  height: number;
}

export interface Problem {
  code: string;
  message: string;
  hint: string;
  param?: string | null;
}

export interface Timings {
  queue_s: number | null;
  denoise_s: number | null;
  decode_s: number | null;
  filter_s: number | null;
  store_s: number | null;
}

export interface Job {
  id: string;
  state: JobState;
  prompt: string;
  parameters: Parameters;
  step: number;
  num_steps: number;
  position: number | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  images: Image[];
  error: Problem | null;
  timings: Timings;
}

export interface OwnImage extends Image {
  job_id: string;
  prompt: string;
  created_at: string;
}

export interface JobsPage {
  jobs: Job[];
  next_cursor: string | null;
}

export interface ImagesPage {
  images: OwnImage[];
  next_cursor: string | null;
}

export interface Me {
  tenant: string;
  tier: string;
  step_budget: number;
}

export interface Model {
  name: string;
  about: string;
  knows: string[];
  examples: string[];
  native_width: number;
  native_height: number;
  grid_px: number;
  min_px: number;
  max_px: number;
  default_steps: number;
  license: string;
  load_another: string;
}

export interface Session {
  token: string;
  expires_at: string;
}

export interface Health {
  status: "ok" | "starting";
  version: string;
  model: { name: string; state: "loading" | "ready" };
}

export interface Progress {
  step: number;
  num_steps: number;
  preview: string | null;
}
