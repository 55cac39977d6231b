import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { createClient, openSession, type Client } from "../../api/client";
import { Failure, problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";

const KEY = "mezzotint.token";

type State = { kind: "opening" } | { kind: "out"; problem: Problem | null } | { kind: "in"; token: string };

export interface Session {
  /** Null while nobody is signed in. */
  client: Client | null;
  isOpening: boolean;
  /** Why nobody is signed in, unless that was asked for. */
  problem: Problem | null;
  /** Throws `Failure` when the server does not take the token. */
  signIn(token: string): Promise<void>;
  /** Ask the server for a session on this computer. */
  open(): Promise<void>;
  signOut(): void;
}

/** Who is signed in: by a token from the address (`#token=`), from this tab's storage, or from a --dev server. */
export function useSession(): Session {
  const [state, setState] = useState<State>({ kind: "opening" });
  const opened = useRef<string | null>(null); // the last token the server itself handed out

  const enter = useCallback((token: string) => {
    sessionStorage.setItem(KEY, token);
    setState({ kind: "in", token });
  }, []);

  const ask = useCallback(
    async (isQuiet: boolean) => {
      setState({ kind: "opening" });
      try {
        const { token } = await openSession();
        opened.current = token;
        enter(token);
      } catch (error) {
        const isExpected = isQuiet && error instanceof Failure && error.status === 403;
        setState({ kind: "out", problem: isExpected ? null : problemOf(error) });
      }
    },
    [enter],
  );

  useEffect(() => {
    const token = takeTokenFromAddress() ?? sessionStorage.getItem(KEY);
    if (token === null) void ask(true);
    else enter(token);
  }, [enter, ask]);

  const token = state.kind === "in" ? state.token : null;
  const client = useMemo(() => {
    if (token === null) return null;
    return createClient(token, (failure) => {
      sessionStorage.removeItem(KEY);
      if (token === opened.current) setState({ kind: "out", problem: failure.problem });
      else void ask(true);
    });
  }, [token, ask]);

  const signIn = useCallback(
    async (pasted: string) => {
      await createClient(pasted).me();
      enter(pasted);
    },
    [enter],
  );

  const signOut = useCallback(() => {
    sessionStorage.removeItem(KEY);
    setState({ kind: "out", problem: null });
  }, []);

  const problem = state.kind === "out" ? state.problem : null;
  return { client, isOpening: state.kind === "opening", problem, signIn, open: () => ask(false), signOut };
}

/** The token after `#token=`, which leaves the address bar and the history with this call. */
function takeTokenFromAddress(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return token === "" ? null : token;
}
