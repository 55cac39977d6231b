import { useId } from "react";

interface Props {
  label: string;
  value: number | null;
  /** What holds where nothing is written; null: the page does not know. */
  usual: number | null;
  min: number;
  max: number;
  step: number;
  title?: string;
  onChange: (value: number | null) => void;
}

/** A number that may be left out. */
export function NumberOption({ label, value, usual, min, max, step, title, onChange }: Props) {
  const id = useId();
  return (
    <span className="option" title={title}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="number"
        inputMode="decimal"
        min={min}
        max={max}
        step={step}
        value={value ?? ""}
        placeholder={usual === null ? "usual" : String(usual)}
        onChange={({ target }) => onChange(Number.isNaN(target.valueAsNumber) ? null : target.valueAsNumber)}
      />
    </span>
  );
}
