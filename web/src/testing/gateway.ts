import { vi } from "vitest";
import type { Image, Job, OwnImage } from "../api/types";

export interface Request {
  method: string;
  path: string;
  body: unknown;
  token: string | null;
}

type Route = (request: Request) => Response | Promise<Response>;

/** Answers the page's requests by "METHOD /path" (the query left out); an unknown one is as a server that is away. */
export function answer(routes: Record<string, Route>): Request[] {
  const seen: Request[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
    const request: Request = {
      method: init.method ?? "GET",
      path: url,
      body: typeof init.body === "string" ? JSON.parse(init.body) : null,
      token: new Headers(init.headers).get("Authorization"),
    };
    seen.push(request);
    const route = routes[`${request.method} ${url.split("?")[0]}`];
    if (route === undefined) throw new TypeError("Failed to fetch");
    const response = await route(request);
    init.signal?.throwIfAborted();
    if (response.body === null || !init.signal) return response;
    return new Response(response.body.pipeThrough(new TransformStream(), { signal: init.signal }), response);
  });
  return seen;
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
}

export function refusal(status: number, code: string, message: string, hint: string, param: string | null = null): Response {
  return json({ error: { code, message, hint, param } }, status);
}

/** The sockets that the page opens; the test writes what they tell. */
export function sockets() {
  const open = new Set<Fake>();
  const opened: { address: string; protocols: string[] }[] = [];
  class Fake {
    onmessage: ((message: { data: string }) => void) | null = null;
    onclose: (() => void) | null = null;
    constructor(address: URL, protocols: string[]) {
      open.add(this);
      opened.push({ address: address.href, protocols });
    }
    close() {
      open.delete(this);
    }
  }
  vi.stubGlobal("WebSocket", Fake);
  async function say(message: unknown): Promise<void> {
    await vi.waitUntil(() => open.size > 0);
    open.forEach((socket) => socket.onmessage?.({ data: JSON.stringify(message) }));
  }
  return {
    opened,
    numOpen: () => open.size,
    hello: () => say({ type: "hello", job_id: null, data: null }),
    tell: (job: Job) => say({ type: "job", job_id: job.id, data: job }),
    tellOf: (job_id: string, type: "progress" | "loading", data: unknown) => say({ type, job_id, data }),
    drop: () => [...open].forEach((socket) => socket.onclose?.()),
  };
}

/** The answer to a request that made these jobs. */
export function accepted(...jobs: [Job, ...Job[]]): Response {
  return json({ ...jobs[0], jobs }, 202);
}

export function aJob(changes: Partial<Job> = {}): Job {
  return {
    id: "j1",
    state: "queued",
    prompt: "a red apple --seed 7",
    parameters: {
      prompt: "a red apple",
      negative_prompt: "",
      seed: 7,
      num_steps: 30,
      guidance_scale: 3.5,
      width: 64,
      height: 64,
      task: "generate",
      source: null,
      mask: null,
      strength: null,
      scale: null,
      sampler: null,
      stop: null,
      eta: 0,
      guidance_rescale: 0,
      clip_skip: null,
      image_guidance: null,
      styles: [],
      vae: null,
      embeddings: [],
      speed: "exact",
    },
    model: "mezzotint-starter",
    step: 0,
    num_steps: 30,
    position: 1,
    estimated_wait_s: null,
    created_at: "2026-01-02T03:04:05Z",
    started_at: null,
    finished_at: null,
    images: [],
    error: null,
    timings: { queue_s: null, load_s: null, denoise_s: null, decode_s: null, filter_s: null, upload_s: null },
    prompt_read: null,
    negative_prompt_read: null,
    batch: null,
    owner: null,
    reused: false,
    reused_from: null,
    num_passes: 0,
    num_forecast: 0,
    ...changes,
  };
}

export function anImage(changes: Partial<Image> = {}): Image {
  return { url: "/i/aa.webp", png_url: "/i/aa.png", seed: 7, width: 64, height: 64, verdict: "allow", ...changes };
}

export function anOwnImage(changes: Partial<OwnImage> = {}): OwnImage {
  return { ...anImage(), job_id: "j1", prompt: "a red apple --seed 7", created_at: "2026-01-02T03:04:05Z", owner: null, ...changes };
}
