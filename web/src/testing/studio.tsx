// The page before an idle server, for its tests.
import { render, screen } from "@testing-library/react";
import { vi } from "vitest";
import { createClient } from "../api/client";
import { Studio } from "../Studio";
import { answer, json, sockets, type Request } from "./gateway";

export const model = {
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
  samplers: ["DDIM", "DPM++ 2M Karras"],
  default_sampler: null,
  eta_samplers: ["DDIM"],
  rescale_tasks: ["generate"],
  max_clip_skip: 0,
  image_guidance: null,
  embeddings: [],
  license: "Apache-2.0",
  load_another: "mezzotint serve --model black-forest-labs/FLUX.1-schnell",
};

export const idle = {
  "GET /v1/model": () => json(model),
  "GET /v1/models": () => json({ object: "list", data: [{ id: "starter" }] }),
  "GET /healthz": () => json({ status: "ok", version: "1", model: { name: "starter", state: "ready" } }),
  "GET /v1/me": () => json({ tenant: "ada", user: null, via: "token", scopes: [] }),
  "GET /v1/jobs": () => json({ jobs: [], next_cursor: null }),
  "GET /v1/images": () => json({ images: [], next_cursor: null }),
};

type Routes = Parameters<typeof answer>[0];

export function open(routes: Routes = {}): Request[] {
  const seen = answer({ ...idle, ...routes });
  render(<Studio client={createClient("t")} />);
  return seen;
}

export const box = () => screen.getByLabelText("Describe a picture");

/** What the page needs of a browser; called before each test. Returns its sockets. */
export function prepareBrowser(): ReturnType<typeof sockets> {
  const made = sockets();
  localStorage.clear();
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
  Element.prototype.scrollIntoView = () => {};
  return made;
}
