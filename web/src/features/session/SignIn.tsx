import { useEffect, useState } from "react";
import { health } from "../../api/client";
import { problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import { NameForm } from "./NameForm";
import { TokenForm } from "./TokenForm";
import type { Session } from "./useSession";
import "./session.css";

/** The ways in: a name and a password, a new account where strangers are let in, or a token. */
export function SignIn({ session }: { session: Session }) {
  const [problem, setProblem] = useState<Problem | null>(session.problem);
  const [isChecking, setIsChecking] = useState(false);
  const [isNew, setIsNew] = useState(false);
  const canSignUp = useCanSignUp();

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
      <TokenForm
        isChecking={isChecking}
        onSubmit={(token) => void attempt(() => session.present(token))}
        onOpen={() => void attempt(session.open)}
      />
    </main>
  );
}

/** Whether strangers may make themselves an account; not, while that is unknown. */
function useCanSignUp(): boolean {
  const [canSignUp, setCanSignUp] = useState(false);
  useEffect(() => {
    const leaving = new AbortController();
    health(leaving.signal).then(
      (said) => setCanSignUp(said.can_sign_up),
      () => setCanSignUp(false),
    );
    return () => leaving.abort();
  }, []);
  return canSignUp;
}
