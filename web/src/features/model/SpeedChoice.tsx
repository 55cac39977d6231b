import { useId } from "react";
import type { Speed } from "../../api/types";

interface Props {
  /** Null while they are not known: their place is kept. */
  speeds: readonly Speed[] | null;
  /** Null: as the model and the tier have it. */
  chosen: Speed | null;
  onChoose: (speed: Speed | null) => void;
}

/** How many steps may be foretold; nothing where the model computes each. */
export function SpeedChoice({ speeds, chosen, onChoose }: Props) {
  const id = useId();
  if (speeds !== null && speeds.length < 2) return null;
  return (
    <span className={speeds === null ? "model-choice steady unknown" : "model-choice steady"}>
      <label htmlFor={id} className="quiet">
        Speed
      </label>
      <select id={id} value={chosen ?? ""} onChange={(event) => onChoose((event.target.value || null) as Speed | null)}>
        <option value="">usual</option>
        {speeds?.map((speed) => (
          <option key={speed}>{speed}</option>
        ))}
      </select>
    </span>
  );
}
