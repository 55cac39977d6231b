import type { Problem } from "./types";

/** Anything that went wrong with a request, in words for a person. `status` is 0 when no answer came. */
export class Failure extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }

  /** Trying the same request again cannot help. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }

  static async fromResponse(response: Response): Promise<Failure> {
    const body: unknown = await response.json().catch(() => null);
    return new Failure(response.status, problemIn(body) ?? unexplained(response.status));
  }

  static unreachable(): Failure {
    return new Failure(0, {
      code: "unreachable",
      message: "The server does not answer.",
      hint: "Check that mezzotint serve is running and that you are connected, then try again.",
    });
  }
}

/** The problem to show for whatever was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Failure) return error.problem;
  return {
    code: "page_error",
    message: "Something went wrong in this page.",
    hint: `Reload it. If it happens again, report this: ${String(error)}`,
  };
}

function problemIn(body: unknown): Problem | null {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  return error as Problem;
}

function unexplained(status: number): Problem {
  return {
    code: `http_${status}`,
    message: `The server answered ${status} and did not say why.`,
    hint: "Its log says more. Trying again may help.",
  };
}
