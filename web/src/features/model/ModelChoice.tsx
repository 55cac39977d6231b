import { useId } from "react";

interface Props {
  names: readonly string[];
  chosen: string | null;
  onChoose: (name: string) => void;
}

/** Which model draws; nothing where there is only one. */
export function ModelChoice({ names, chosen, onChoose }: Props) {
  const id = useId();
  if (names.length < 2) return null;
  return (
    <span className="model-choice">
      <label htmlFor={id} className="quiet">
        Model
      </label>
      <select id={id} value={chosen ?? names[0]} onChange={(event) => onChoose(event.target.value)}>
        {names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </span>
  );
}
