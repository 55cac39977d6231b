import { here } from "./address";
import { Failure } from "./failure";
import type { Accepted, Asked, Health, ImagesPage, Job, JobsPage, JobState, ListedModel, Me, Model } from "./types";
import type { Origin, Recipe, Session, Style, Usage, Whose } from "./types";

const PROTOCOL = "mezzotint"; // a browser sets no headers of a socket: the token comes as a second subprotocol

/** What the page asks of the server on behalf of one signed-in person. Every call throws `Failure`. */
export interface Client {
  submit(asked: Asked): Promise<Accepted>;
  job(id: string, signal?: AbortSignal): Promise<Job>;
  /** Where a job's pictures come from, as their files tell it. */
  origins(id: string, signal?: AbortSignal): Promise<readonly Origin[]>;
  /** A picture of a job with its prompt and settings inside. name: its place in the job and its format, such as 0.png. */
  file(id: string, name: string): Promise<Blob>;
  /** How the picture of a file was drawn. */
  inspect(file: Blob): Promise<Recipe>;
  cancel(id: string): Promise<Job>;
  /** The newest jobs in these states, from a page's cursor on. */
  jobs(states: readonly JobState[], cursor: string | null, signal?: AbortSignal): Promise<JobsPage>;
  images(cursor: string | null, whose: Whose, signal?: AbortSignal): Promise<ImagesPage>;
  me(signal?: AbortSignal): Promise<Me>;
  /** What was used from a month (2026-01) on, newest first. */
  usage(since: string, signal?: AbortSignal): Promise<Usage>;
  /** The model of this name, or the default. */
  model(name: string | null, signal?: AbortSignal): Promise<Model>;
  /** The styles that I may ask for with a model. */
  styles(model: string, signal?: AbortSignal): Promise<readonly Style[]>;
  models(signal?: AbortSignal): Promise<readonly ListedModel[]>;
  /** A new socket that tells of all jobs. */
  socket(): WebSocket;
}

/** By a token, or with null by the cookie of a session. `onRefused` is told when the server no longer takes it. */
export function createClient(token: string | null, onRefused: (failure: Failure) => void = () => {}): Client {
  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set("Authorization", `Bearer ${token}`);
    try {
      return await request(path, { ...init, headers });
    } catch (error) {
      if (error instanceof Failure && error.status === 401) onRefused(error);
      throw error;
    }
  }

  async function json<T>(path: string, init?: RequestInit): Promise<T> {
    return (await send(path, init)).json() as Promise<T>;
  }

  return {
    submit: (asked) =>
      json("/v1/jobs", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...asked, new: true }),
      }),
    job: (id, signal) => json(`/v1/jobs/${encodeURIComponent(id)}`, given(signal)),
    origins: async (id, signal) =>
      (await json<{ images: Origin[] }>(`/v1/jobs/${encodeURIComponent(id)}/provenance`, given(signal))).images,
    file: async (id, name) => (await send(`/v1/jobs/${encodeURIComponent(id)}/files/${name}`)).blob(),
    inspect: (file) =>
      json("/v1/inspect", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }),
    cancel: (id) => json(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" }),
    jobs: (states, cursor, signal) => {
      const query = new URLSearchParams(states.map((state) => ["state", state]));
      if (cursor !== null) query.set("cursor", cursor);
      return json(`/v1/jobs?limit=100&${query}`, given(signal));
    },
    images: (cursor, whose, signal) =>
      json(`/v1/images?limit=24&of=${whose}${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`, given(signal)),
    me: (signal) => json("/v1/me", given(signal)),
    usage: (since, signal) => json(`/v1/usage?since=${since}`, given(signal)),
    model: (name, signal) =>
      json(name === null ? "/v1/model" : `/v1/model?name=${encodeURIComponent(name)}`, given(signal)),
    styles: async (model, signal) =>
      (await json<{ styles: Style[] }>(`/v1/styles?model=${encodeURIComponent(model)}`, given(signal))).styles,
    models: async (signal) => (await json<{ data: ListedModel[] }>("/v1/models", given(signal))).data.filter((model) => !model.alias_of),
    socket: () => {
      const address = new URL(here("/v1/ws"), location.href);
      address.protocol = address.protocol.replace("http", "ws");
      return new WebSocket(address, token === null ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`]);
    },
  };
}

/** A token for this computer; refused (403) unless the server runs with --dev. */
export async function openSession(signal?: AbortSignal): Promise<Session> {
  const response = await request("/v1/session", { method: "POST", ...given(signal) });
  return (await response.json()) as Session;
}

/** Open a session, kept in a cookie that no script can read. */
export async function signIn(name: string, password: string): Promise<void> {
  await request("/v1/sign-in", posted({ name, password }));
}

/** The same, with a new tenant; refused (403) unless the server lets strangers in. */
export async function signUp(name: string, password: string): Promise<void> {
  await request("/v1/sign-up", posted({ name, password }));
}

export async function signOut(): Promise<void> {
  await request("/v1/sign-out", { method: "POST" });
}

export async function health(signal?: AbortSignal): Promise<Health> {
  return (await (await request("/healthz", given(signal))).json()) as Health;
}

/** Where the browser goes to sign in through an OIDC provider. */
export const providerSignIn = here("/v1/sign-in/provider");

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(here(path), init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw Failure.unreachable();
  }
  if (!response.ok) throw await Failure.fromResponse(response);
  return response;
}

function posted(body: unknown): RequestInit {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function given(signal: AbortSignal | undefined): RequestInit {
  return signal === undefined ? {} : { signal };
}
