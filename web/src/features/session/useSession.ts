import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { createClient, openSession, signIn, signOut, signUp, type Client } from "../../api/client";
import { Failure, problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";

const KEY = "mezzotint.token";
/** Set in this browser while a cookie may hold a session; the cookie itself is not for scripts. */
const HAS_COOKIE = "mezzotint.session";

type State = { kind: "opening" } | { kind: "out"; problem: Problem | null } | { kind: "in"; token: string | null };

export interface Session {
  /** Null while nobody is signed in. */
  client: Client | null;
  isOpening: boolean;
  /** Why nobody is signed in, unless that was asked for. */
  problem: Problem | null;
  /** Throws `Failure` when the server does not know the name with this password. */
  signIn(name: string, password: string): Promise<void>;
  /** Throws `Failure` when the name is taken or the password too easy. */
  signUp(name: string, password: string): Promise<void>;
  /** Throws `Failure` when the server does not take the token. */
  present(token: string): Promise<void>;
  /** Ask the server for a session on this computer. */
  open(): Promise<void>;
  signOut(): void;
}

/** Who is signed in: by a token from the address (`#token=`) or this tab's storage, by a cookie, or by a --dev server. */
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
    if (token !== null) enter(token);
    else if (localStorage.getItem(HAS_COOKIE) !== null) setState({ kind: "in", token: null });
    else void ask(true);
  }, [enter, ask]);

  const token = state.kind === "in" ? state.token : undefined;
  const client = useMemo(() => {
    if (token === undefined) return null;
    return createClient(token, (failure) => {
      forget();
      if (token === opened.current) setState({ kind: "out", problem: failure.problem });
      else void ask(true);
    });
  }, [token, ask]);

  const enterBy = useCallback(async (way: typeof signIn, name: string, password: string) => {
    await way(name, password);
    localStorage.setItem(HAS_COOKIE, "yes");
    setState({ kind: "in", token: null });
  }, []);

  const present = useCallback(
    async (pasted: string) => {
      await createClient(pasted).me();
      enter(pasted);
    },
    [enter],
  );

  const leave = useCallback(() => {
    if (localStorage.getItem(HAS_COOKIE) !== null) void signOut().catch(() => {}); // a server that is away forgets in time
    forget();
    setState({ kind: "out", problem: null });
  }, []);

  const problem = state.kind === "out" ? state.problem : null;
  return {
    client,
    isOpening: state.kind === "opening",
    problem,
    signIn: (name, password) => enterBy(signIn, name, password),
    signUp: (name, password) => enterBy(signUp, name, password),
    present,
    open: () => ask(false),
    signOut: leave,
  };
}

function forget(): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(HAS_COOKIE);
}

/** The token after `#token=`, which leaves the address bar and the history with this call. */
function takeTokenFromAddress(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return token === "" ? null : token;
}
