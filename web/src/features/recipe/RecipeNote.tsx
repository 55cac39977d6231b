import type { Asked, Recipe } from "../../api/types";
import "./recipe.css";

interface Props {
  /** Null while no file was read. */
  recipe: { file: string; found: Recipe } | null;
  onAgain: (asked: Asked) => void;
  onDismiss: () => void;
}

/** How the picture of a file was drawn, and the offer to draw it again. */
export function RecipeNote({ recipe, onAgain, onDismiss }: Props) {
  return (
    <div aria-live="polite" className="recipe-region">
      {recipe !== null && (
        <section className="recipe" aria-label={`How ${recipe.file} was drawn`}>
          <p>
            <strong>{recipe.file}</strong> tells how it was drawn{told(recipe.found)}. Its prompt is above.
          </p>
          {recipe.found.notes.length > 0 && (
            <ul>
              {recipe.found.notes.map((note) => (
                <li key={note}>{note}</li>
              ))}
            </ul>
          )}
          <div className="actions">
            <button type="button" onClick={() => onAgain(asked(recipe.found))}>
              Make again
            </button>
            <button type="button" className="plain" aria-label="Dismiss the file" onClick={onDismiss}>
              ×
            </button>
          </div>
        </section>
      )}
    </div>
  );
}

function told({ software, request }: Recipe): string {
  const by = software === null ? "" : ` by ${software}`;
  const facts = [
    request.model && `model ${request.model}`,
    request.sampler,
    request.num_steps && `${request.num_steps} steps`,
    request.seed != null && `seed ${request.seed}`,
  ].filter(Boolean);
  return facts.length === 0 ? by : `${by}: ${facts.join(", ")}`;
}

/** The request without the fields that the file does not tell. */
function asked({ request }: Recipe): Asked {
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null)) as Asked;
}
