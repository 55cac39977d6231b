import { useId, useState, type FormEvent } from "react";
import { problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import type { Session } from "./useSession";
import "./session.css";

export function SignIn({ session }: { session: Session }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem | null>(session.problem);
  const [isChecking, setIsChecking] = useState(false);
  const field = useId();

  async function submit(event: FormEvent) {
    event.preventDefault();
    setIsChecking(true);
    try {
      await session.signIn(token.trim());
    } catch (error) {
      setProblem(problemOf(error));
      setIsChecking(false);
    }
  }

  return (
    <main className="sign-in">
      <h2>Sign in</h2>
      <p>
        Paste the token you were given. If the server is yours, print one with{" "}
        <code>mezzotint token --data DIR --tenant NAME --tier free</code>.
      </p>
      <form onSubmit={(event) => void submit(event)}>
        <label htmlFor={field}>Token</label>
        <textarea
          id={field}
          value={token}
          onChange={(event) => setToken(event.target.value)}
          rows={4}
          required
          autoComplete="off"
          spellCheck={false}
        />
        <ProblemNote problem={problem} />
        <div className="actions">
          <button className="primary" disabled={isChecking}>
            Sign in
          </button>
          <button type="button" onClick={() => void session.open()}>
            Sign in on this computer
          </button>
        </div>
        <p className="quiet">
          The token stays in this tab. Signing in without one works on the computer of a server started with{" "}
          <code>--dev</code>.
        </p>
      </form>
    </main>
  );
}
