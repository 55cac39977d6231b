import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { createClient, openSession, signIn, signOut, signUp, type Client } from "../../api/client";
import { Failure, problemOf } from "../../api/failure";
import type { Me, Problem } from "../../api/types";

const KEY = "mezzotint.token";
/** Set in this browser while a cookie may hold a session; the cookie itself is not for scripts. */
const HAS_COOKIE = "mezzotint.session";

const PROVIDER_FAILED: Problem = {
  code: "provider_refused",
  message: "Your organisation's sign-in did not work.",
  hint: "Try again within ten minutes; if it persists, ask who runs this server: its log says why.",
};

type State = { kind: "opening" } | { kind: "out"; problem: Problem | null } | { kind: "in"; token: string | null };

/** A token that a link brought, which the server takes. Nobody is signed in by it until `accept`. */
export interface OfferedToken {
  tenant: string;
  tier: string;
  /** Whether somebody is signed in already, whose session in this tab would end. */
  replacesSession: boolean;
  /** Throws `Failure` when the server no longer takes the token. */
  accept(): Promise<void>;
  decline(): void;
}

export interface Session {
  /** Null while nobody is signed in. */
  client: Client | null;
  /** Not null while a link's token waits for an answer. */
  offer: OfferedToken | null;
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

/** Who is signed in: by a token of this tab's storage, by a cookie (of a name or of an OIDC
 * provider), by a --dev server, or, once that is confirmed, by a
 * token from the address (`#token=`). */
export function useSession(): Session {
  const [state, setState] = useState<State>({ kind: "opening" });
  const [offered, setOffered] = useState<{ token: string; me: Me } | null>(null);
  const linked = useRef<string | null>(null); // the token of the link that is being looked at
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

  const resume = useCallback(() => {
    const token = sessionStorage.getItem(KEY);
    if (token !== null) setState({ kind: "in", token });
    else if (localStorage.getItem(HAS_COOKIE) !== null) setState({ kind: "in", token: null });
    else void ask(true);
  }, [ask]);

  const consider = useCallback(
    async (token: string) => {
      try {
        const me = await createClient(token).me();
        if (linked.current === token) setOffered({ token, me });
      } catch (error) {
        if (linked.current !== token) return;
        linked.current = null;
        if (hasSession()) resume();
        else setState({ kind: "out", problem: problemOf(error) });
      }
    },
    [resume],
  );

  useEffect(() => {
    function look() {
      const token = takeTokenFromAddress();
      if (token === null) return;
      linked.current = token === sessionStorage.getItem(KEY) ? null : token;
      setOffered(null);
      if (linked.current !== null) void consider(token);
    }
    look();
    const outcome = takeProviderOutcome();
    if (outcome === "signed-in") localStorage.setItem(HAS_COOKIE, "yes");
    if (outcome === "sign-in-failed") setState({ kind: "out", problem: PROVIDER_FAILED });
    else if (linked.current === null) resume();
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, [consider, resume]);

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

  /** Close the question about a link's token, unless another link was followed meanwhile. */
  const close = useCallback((token: string) => {
    if (linked.current !== token) return;
    linked.current = null;
    setOffered(null);
  }, []);
  const offer = offered && {
    tenant: offered.me.tenant,
    tier: offered.me.tier,
    replacesSession: hasSession(),
    accept: () => present(offered.token).then(() => close(offered.token)),
    decline: () => {
      close(offered.token);
      if (state.kind === "opening") resume();
    },
  };

  const problem = state.kind === "out" ? state.problem : null;
  return {
    client,
    offer,
    isOpening: state.kind === "opening",
    problem,
    signIn: (name, password) => enterBy(signIn, name, password),
    signUp: (name, password) => enterBy(signUp, name, password),
    present,
    open: () => ask(false),
    signOut: leave,
  };
}

/** How a sign-in through the provider ended, after which the server sends the browser here; null: there was none. */
function takeProviderOutcome(): string | null {
  const outcome = location.hash.slice(1);
  if (outcome !== "signed-in" && outcome !== "sign-in-failed") return null;
  history.replaceState(null, "", location.pathname + location.search);
  return outcome;
}

function hasSession(): boolean {
  return sessionStorage.getItem(KEY) !== null || localStorage.getItem(HAS_COOKIE) !== null;
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
