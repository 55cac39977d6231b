import { useState, type KeyboardEvent } from "react";
import type { OwnImage } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import { title } from "../prompt/words";
import { neighbour } from "./neighbour";
import { keyOf, type Images } from "./useImages";
import "./images.css";

interface Props {
  images: Images;
  shown: OwnImage | null;
  onShow: (image: OwnImage) => void;
}

/** My pictures, or the team's. The grid is one stop of the Tab key; arrows, Home and End move inside it. */
export function ImageGrid({ images: view, shown, onShow }: Props) {
  const { images, cursor, isReading, problem, loadMore } = view;
  const [current, setCurrent] = useState<string | null>(null);
  const stop = images.find((image) => keyOf(image) === current) ?? images[0];

  function onKeyDown(event: KeyboardEvent<HTMLUListElement>) {
    const buttons = [...event.currentTarget.querySelectorAll("button")];
    const from = buttons.findIndex((button) => button === event.target);
    const columns = getComputedStyle(event.currentTarget).gridTemplateColumns.split(" ").length;
    const to = neighbour(event.key, from, buttons.length, columns);
    if (to === null) return;
    event.preventDefault();
    buttons[to]?.focus();
  }

  return (
    <section className="images" aria-labelledby="my-pictures">
      <h2 id="my-pictures">{view.whose === "mine" ? "My pictures" : "The team's pictures"}</h2>
      {view.seesTenant && (
        <div className="whose" role="group" aria-label="Whose pictures">
          {(["mine", "tenant"] as const).map((whose) => (
            <button
              key={whose}
              type="button"
              className="plain"
              aria-pressed={whose === view.whose}
              onClick={() => view.choose(whose)}
            >
              {whose === "mine" ? "Mine" : "Team"}
            </button>
          ))}
        </div>
      )}
      {images.length === 0 && !isReading && problem === null && (
        <p className="quiet">None yet. The pictures you make are kept here.</p>
      )}
      <ul className="image-grid" aria-labelledby="my-pictures" onKeyDown={onKeyDown}>
        {images.map((image) => {
          const key = keyOf(image);
          return (
            <li key={key}>
              <button
                type="button"
                tabIndex={image === stop ? 0 : -1}
                aria-current={shown !== null && keyOf(shown) === key ? "true" : undefined}
                title={title(image.prompt)}
                onFocus={() => setCurrent(key)}
                onClick={() => onShow(image)}
              >
                <img src={image.url} alt={title(image.prompt)} width={image.width} height={image.height} loading="lazy" />
              </button>
            </li>
          );
        })}
      </ul>
      <ProblemNote problem={problem} />
      {(cursor !== null || problem !== null) && (
        <button type="button" className="more" aria-disabled={isReading} onClick={() => !isReading && loadMore()}>
          {problem === null ? "Load more" : "Try again"}
        </button>
      )}
    </section>
  );
}
