import { useId } from "react";
import type { Model, Style } from "../../api/types";
import { countChosen, rangesOf, USUAL, type Options } from "./options";
import { NumberOption } from "./NumberOption";
import "./options.css";

interface Props {
  /** Null while it is not known: the place is kept. */
  model: Model | null;
  options: Options;
  /** The style that was chosen, and how much of it there is; null: as much as is usual. */
  style: Style | null;
  weight: number | null;
  onChoose: (options: Options) => void;
  onWeigh: (weight: number | null) => void;
  /** Hears of a word that calls an embedding. */
  onWord: (word: string) => void;
}

const MAX_WEIGHT = 2;

/** Settings for those who want them, as far as the model heeds them; nothing where it heeds none. */
export function MoreOptions({ model, options, style, weight, onChoose, onWeigh, onWord }: Props) {
  const id = useId();
  if (model === null) {
    return (
      <div className="options unknown" aria-hidden="true">
        <p>More options</p>
      </div>
    );
  }
  const ranges = rangesOf(model, options);
  const hasNone = ranges.length === 0 && model.samplers.length === 0 && model.embeddings.length === 0;
  if (hasNone && style === null) return null;
  const numChosen = countChosen(model, options) + (style !== null && weight !== null ? 1 : 0);
  return (
    <details className="options">
      <summary>More options{numChosen > 0 && `: ${numChosen} chosen`}</summary>
      <div className="choices">
        {model.samplers.length > 0 && (
          <span className="option wide">
            <label htmlFor={`${id}-sampler`}>Sampler</label>
            <select
              id={`${id}-sampler`}
              value={options.sampler !== null && model.samplers.includes(options.sampler) ? options.sampler : ""}
              onChange={(event) => onChoose({ ...options, sampler: event.target.value || null })}
            >
              <option value="">{model.default_sampler ?? "the model's own"}</option>
              {model.samplers.map((sampler) => (
                <option key={sampler}>{sampler}</option>
              ))}
            </select>
          </span>
        )}
        {style !== null && (
          <NumberOption
            label={`Weight of ${style.name}`}
            value={weight}
            usual={style.default_weight}
            min={-MAX_WEIGHT}
            max={MAX_WEIGHT}
            step={0.1}
            onChange={onWeigh}
          />
        )}
        {ranges.map(({ name, ...range }) => (
          <NumberOption
            key={name}
            {...range}
            value={options[name]}
            usual={name === "image_guidance" ? model.image_guidance : null}
            onChange={(value) => onChoose({ ...options, [name]: value })}
          />
        ))}
        {numChosen > 0 && (
          <button
            type="button"
            className="plain"
            onClick={() => {
              onChoose(USUAL);
              onWeigh(null);
            }}
          >
            As usual
          </button>
        )}
      </div>
      {model.embeddings.length > 0 && (
        <div className="embeddings" role="group" aria-label="Embeddings: words to write">
          <span className="quiet">Embeddings</span>
          {model.embeddings.map((word) => (
            <button key={word} type="button" className="chip" onClick={() => onWord(word)}>
              {word}
            </button>
          ))}
        </div>
      )}
    </details>
  );
}
