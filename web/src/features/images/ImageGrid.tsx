import { memo, useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { OwnImage } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import { title } from "../prompt/words";
import { neighbour } from "./neighbour";
import { Picture } from "./Picture";
import { keyOf, type Images } from "./useImages";
import "./images.css";

interface Props {
  images: Images;
  /** `keyOf` the picture that is shown. */
  shown: string | null;
  onShow: (image: OwnImage) => void;
}

/** My pictures, or the team's. The grid is one stop of the Tab key; arrows, Home and End move inside it. */
export const ImageGrid = memo(function ImageGrid({ images: view, shown, onShow }: Props) {
  const { images, cursor, isReading, problem, loadMore } = view;
  const [current, setCurrent] = useState<string | null>(null);
  const grid = useRef<HTMLUListElement>(null);
  const loadedFrom = useRef<number | null>(null);

  useEffect(() => {
    if (loadedFrom.current === null || isReading) return;
    // the button that had the focus goes with the last pictures
    if (cursor === null) grid.current?.querySelectorAll("button")[loadedFrom.current]?.focus();
    loadedFrom.current = null;
  }, [images, cursor, isReading]);

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

  function onMore() {
    if (isReading) return;
    loadedFrom.current = images.length;
    loadMore();
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
      <ul ref={grid} className="image-grid" aria-labelledby="my-pictures" onKeyDown={onKeyDown}>
        {images.map((image) => {
          const key = keyOf(image);
          return (
            <li key={key}>
              <button
                type="button"
                tabIndex={image === stop ? 0 : -1}
                aria-current={shown === key ? "true" : undefined}
                title={title(image.prompt)}
                onFocus={() => setCurrent(key)}
                onClick={() => onShow(image)}
              >
                <Picture src={image.url} alt={title(image.prompt)} width={image.width} height={image.height} loading="lazy" />
              </button>
            </li>
          );
        })}
      </ul>
      <ProblemNote problem={problem} />
      {(cursor !== null || problem !== null) && (
        <button type="button" className="more" aria-disabled={isReading} onClick={onMore}>
          {problem === null ? "Load more" : "Try again"}
        </button>
      )}
    </section>
  );
});
