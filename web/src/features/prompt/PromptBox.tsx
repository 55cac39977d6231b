import { useId, useState, type DragEvent, type FormEvent, type KeyboardEvent, type ReactNode, type RefObject } from "react";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import "./prompt.css";

interface Props {
  box: RefObject<HTMLTextAreaElement | null>;
  prompt: string;
  /** Null while they are not known: their place is kept. */
  examples: readonly string[] | null;
  /** Stands beside the button. */
  choice: ReactNode;
  /** Stands below the box. */
  options: ReactNode;
  isSending: boolean;
  problem: Problem | null;
  onChange: (prompt: string) => void;
  onSubmit: (prompt: string) => void;
  onDismiss: () => void;
  /** Hears of a picture's file that was dropped or chosen. */
  onFile: (file: File) => void;
}

export function PromptBox({ box, prompt, examples, choice, options, isSending, problem, ...on }: Props) {
  const { onChange, onSubmit, onDismiss, onFile } = on;
  const id = useId();
  const [isOver, setIsOver] = useState(false);

  function submit(event: FormEvent | KeyboardEvent) {
    event.preventDefault();
    if (!isSending) onSubmit(prompt);
  }

  function onKeyDown(event: KeyboardEvent) {
    // an Enter that picks a word of an input method (isComposing) belongs to that method
    if (event.key === "Escape" && problem !== null) onDismiss();
    if (event.key === "Enter" && !event.repeat && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
  }

  function onDragOver(event: DragEvent) {
    if (!event.dataTransfer.types.includes("Files")) return; // words are the box's own to take
    event.preventDefault();
    setIsOver(true);
  }

  function onDrop(event: DragEvent) {
    setIsOver(false);
    const file = event.dataTransfer.files[0];
    if (file === undefined) return;
    event.preventDefault();
    onFile(file);
  }

  return (
    <form className="prompt" onSubmit={submit} noValidate>
      <label htmlFor={`${id}-box`}>Describe a picture</label>
      <div
        className={isOver ? "box is-over" : "box"}
        onDragOver={onDragOver}
        onDragLeave={() => setIsOver(false)}
        onDrop={onDrop}
      >
        <textarea
          ref={box}
          id={`${id}-box`}
          name="prompt"
          rows={3}
          value={prompt}
          placeholder={examples?.[0] ?? "a red apple"}
          autoFocus
          enterKeyHint="go"
          aria-describedby={`${id}-keys ${id}-problem`}
          aria-invalid={problem?.param === "prompt"}
          onChange={(event) => onChange(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <div className="foot">
          <span id={`${id}-keys`} className="quiet keys">
            <kbd>Enter</kbd> make <kbd>Shift Enter</kbd> new line
          </span>
          {choice}
          <label className="button read-file">
            Read a file
            <input
              type="file"
              accept="image/png,image/jpeg,image/webp"
              onChange={(event) => {
                const file = event.target.files?.[0];
                event.target.value = ""; // the same file again is another wish
                if (file !== undefined) onFile(file);
              }}
            />
          </label>
          <button className="primary" aria-disabled={isSending}>
            Make picture
          </button>
        </div>
      </div>
      {options}
      <ProblemNote id={`${id}-problem`} problem={problem} onDismiss={onDismiss} />
      {examples === null && <div className="examples" />}
      {examples !== null && examples.length > 0 && (
        <div className="examples" role="group" aria-label="Example prompts">
          <span className="quiet">Try</span>
          {examples.map((example) => (
            <button
              key={example}
              type="button"
              className="chip"
              onClick={() => {
                onChange(example);
                if (!isSending) onSubmit(example);
              }}
            >
              {example}
            </button>
          ))}
        </div>
      )}
    </form>
  );
}
