import type { Problem } from "../../api/types";
import "./problem.css";

interface Props {
  problem: Problem | null;
  id?: string;
  onDismiss?: () => void;
}

/** What was wrong and what to do about it. The alert region stays, so that screen readers hear of what enters it. */
export function ProblemNote({ problem, id, onDismiss }: Props) {
  return (
    <div role="alert" id={id} className="problem-region">
      {problem !== null && (
        <div className="problem">
          <p>
            <strong>{problem.message}</strong>
            {problem.hint !== "" && <span>{problem.hint}</span>}
          </p>
          {onDismiss !== undefined && (
            <button type="button" className="plain" aria-label="Dismiss this message" onClick={onDismiss}>
              ×
            </button>
          )}
        </div>
      )}
    </div>
  );
}
