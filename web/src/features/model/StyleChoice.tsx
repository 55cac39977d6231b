import { useId } from "react";
import type { Style } from "../../api/types";

interface Props {
  /** Null while they are not known: their place is kept. */
  styles: readonly Style[] | null;
  chosen: string | null;
  onChoose: (name: string | null) => void;
}

/** The style of the next pictures; nothing where the model has none. */
export function StyleChoice({ styles, chosen, onChoose }: Props) {
  const id = useId();
  if (styles?.length === 0) return null;
  return (
    <span className={styles === null ? "model-choice steady unknown" : "model-choice steady"}>
      <label htmlFor={id} className="quiet">
        Style
      </label>
      <select id={id} value={chosen ?? ""} onChange={(event) => onChoose(event.target.value || null)}>
        <option value="">none</option>
        {styles?.map(({ name, about, trigger_words: words, adds_trigger_words: isAdded }) => (
          <option key={name} value={name} title={words.length > 0 && !isAdded ? `${about} Try the words: ${words.join(", ")}` : about}>
            {name}
          </option>
        ))}
      </select>
    </span>
  );
}
