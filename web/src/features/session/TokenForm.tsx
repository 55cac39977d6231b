import { useId, useState, type FormEvent } from "react";

interface Props {
  isChecking: boolean;
  onSubmit: (token: string) => void;
  /** Ask a --dev server for a session on this computer. */
  onOpen: () => void;
}

/** For those who were given a token, or whose server it is. */
export function TokenForm({ isChecking, onSubmit, onOpen }: Props) {
  const [token, setToken] = useState("");
  const field = useId();

  function submit(event: FormEvent) {
    event.preventDefault();
    onSubmit(token.trim());
  }

  return (
    <details>
      <summary>Use a token instead</summary>
      <p>
        Paste the token you were given. If the server is yours, print one with{" "}
        <code>mezzotint token --data DIR --tenant NAME --tier free</code>.
      </p>
      <form onSubmit={submit}>
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
        <div className="actions">
          <button className="primary" disabled={isChecking}>
            Use the token
          </button>
          <button type="button" onClick={onOpen}>
            Sign in on this computer
          </button>
        </div>
        <p className="quiet">
          The token stays in this tab. Signing in without one works on the computer of a server started with{" "}
          <code>--dev</code>.
        </p>
      </form>
    </details>
  );
}
