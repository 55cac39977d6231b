import { useEffect, useState } from "react";
import { health, providerSignIn } from "../../api/client";
import { problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import { NameForm } from "./NameForm";
import { TokenForm } from "./TokenForm";
import type { Session } from "./useSession";
import "./session.css";

/** The ways in: a name and a password, a new account where strangers are let in, a provider, or a token. */
export function SignIn({ session }: { session: Session }) {
  const [problem, setProblem] = useState<Problem | null>(session.problem);
  const [isChecking, setIsChecking] = useState(false);
  const [isNew, setIsNew] = useState(false);
  const { canSignUp, hasProvider } = useWaysIn();

  async function attempt(way: () => Promise<void>) {
    setIsChecking(true);
    setProblem(null);
    try {
      await way();
    } catch (error) {
      setProblem(problemOf(error));
      setIsChecking(false);
    }
  }

  return (
    <main className="sign-in">
      <h2>{isNew ? "Sign up" : "Sign in"}</h2>
      <NameForm
        isNew={isNew}
        isChecking={isChecking}
        onSubmit={(name, password) => void attempt(() => (isNew ? session.signUp : session.signIn)(name, password))}
      >
        <ProblemNote problem={problem} />
      </NameForm>
      {canSignUp && (
        <button
          type="button"
          className="plain"
          onClick={() => {
            setIsNew(!isNew);
            setProblem(null);
          }}
        >
          {isNew ? "I have an account" : "Make an account"}
        </button>
      )}
      {hasProvider && (
        <a className="button" href={providerSignIn}>
          Sign in with your organisation
        </a>
      )}
      <TokenForm
        isChecking={isChecking}
        onSubmit={(token) => void attempt(() => session.present(token))}
        onOpen={() => void attempt(session.open)}
      />
    </main>
  );
}

const NO_OTHER_WAY = { canSignUp: false, hasProvider: false };

/** What the server offers beside names and tokens; nothing, while that is unknown. */
function useWaysIn(): typeof NO_OTHER_WAY {
  const [ways, setWays] = useState(NO_OTHER_WAY);
  useEffect(() => {
    const leaving = new AbortController();
    health(leaving.signal).then(
      (said) => setWays({ canSignUp: said.can_sign_up, hasProvider: said.has_provider }),
      () => setWays(NO_OTHER_WAY),
    );
    return () => leaving.abort();
  }, []);
  return ways;
}
