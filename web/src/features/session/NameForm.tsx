import { useId, useState, type FormEvent, type ReactNode } from "react";

interface Props {
  /** Whether the name and the password are new. */
  isNew: boolean;
  isChecking: boolean;
  onSubmit: (name: string, password: string) => void;
  /** What is said between the fields and the button. */
  children: ReactNode;
}

/** A name and a password, in the words by which password managers know them. */
export function NameForm({ isNew, isChecking, onSubmit, children }: Props) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [nameField, passwordField, passwordRule] = [useId(), useId(), useId()];

  function submit(event: FormEvent) {
    event.preventDefault();
    onSubmit(name.trim(), password);
  }

  return (
    <form onSubmit={submit}>
      <label htmlFor={nameField}>Name or e-mail</label>
      <input
        id={nameField}
        name="username"
        value={name}
        onChange={(event) => setName(event.target.value)}
        required
        autoFocus
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
      />
      <label htmlFor={passwordField}>Password</label>
      <input
        id={passwordField}
        name="password"
        type="password"
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        required
        autoComplete={isNew ? "new-password" : "current-password"}
        aria-describedby={isNew ? passwordRule : undefined}
      />
      {isNew && (
        <p id={passwordRule} className="quiet">
          Twelve characters or more; four words in a row are easy to keep in mind.
        </p>
      )}
      {children}
      <div className="actions">
        <button className="primary" disabled={isChecking}>
          {isNew ? "Sign up" : "Sign in"}
        </button>
      </div>
    </form>
  );
}
