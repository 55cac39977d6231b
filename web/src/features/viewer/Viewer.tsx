import { useRef } from "react";
import type { Asked, Job, Model, Origin } from "../../api/types";
import { isOver, type Entry } from "../jobs/entries";
import { JobEnding } from "../jobs/JobEnding";
import { JobProgress } from "../jobs/JobProgress";
import { againWithAnotherSeed, canAskAgain } from "../prompt/again";
import { title } from "../prompt/words";
import { Picture } from "../images/Picture";
import { Details } from "./Details";
import { Placeholder } from "./Placeholder";
import { Provenance } from "./Provenance";
import { Reworkings } from "./Reworkings";
import { saveFile } from "./save";
import { promptOf, type Shown } from "./shown";
import "./viewer.css";

interface Props {
  shown: Shown | null;
  /** The job of what is shown, once it is known. */
  job: Job | null;
  onCancel: (id: string) => void;
  /** What draws, once that is known. */
  model: Model | null;
  onAsk: (asked: Asked) => void;
  /** Hears of another picture to be made of this one. */
  onRework: (asked: Asked) => void;
  onUse: (prompt: string) => void;
  loadOrigins: (job: string) => Promise<readonly Origin[]>;
  loadFile: (job: string, name: string) => Promise<Blob>;
}

/** A job at work, or a picture, named and dated like a print. */
export function Viewer({ shown, job, model, onCancel, onAsk, onRework, onUse, loadOrigins, loadFile }: Props) {
  const article = useRef<HTMLElement>(null);
  if (shown === null) return <NothingYet />;

  function cancel(id: string) {
    article.current?.focus(); // the button goes
    onCancel(id);
  }

  const { entry, image } = shown;
  const prompt = promptOf(shown);
  const name = title(prompt);
  return (
    <article ref={article} tabIndex={-1} className="sheet" aria-label={name}>
      <div className="print">
        <PictureSoFar shown={shown} name={name} />
      </div>
      <header className="inscription">
        <span>{image === null ? "" : `seed ${image.seed}`}</span>
        <h2>{name}</h2>
        <time dateTime={image?.created_at}>{image === null ? "" : day(image.created_at)}</time>
      </header>
      {image === null ? (
        <AtWork entry={entry} name={name} onCancel={cancel} />
      ) : (
        <>
          {image.verdict === "blur" && (
            <p className="quiet">The safety filter blurred this picture. No other copy of it is kept.</p>
          )}
          <div className="actions">
            <a
              className="button"
              href={image.png_url}
              download={fileName(name, image.seed)}
              onClick={(event) => {
                const position = job?.images.findIndex((one) => one.png_url === image.png_url) ?? -1;
                if (job === null || position < 0) return; // the address itself leads to the file without its prompt
                event.preventDefault();
                const load = () => loadFile(job.id, `${position}.png`);
                void saveFile(load, fileName(name, image.seed), image.png_url);
              }}
            >
              Download PNG
            </a>
            {(job === null || (job.parameters.task !== "upscale" && canAskAgain(job))) && (
              <button
                type="button"
                aria-disabled={job === null}
                onClick={() => job !== null && onAsk(againWithAnotherSeed(job))}
              >
                Again with another seed
              </button>
            )}
            <button type="button" onClick={() => onUse(prompt)}>
              Use this prompt
            </button>
          </div>
          {model !== null && <Reworkings image={image} model={model} onAsk={onRework} />}
          {job !== null && <Details job={job} image={image} />}
          {job !== null && (
            <Provenance key={image.png_url} load={() => loadOrigins(job.id)} png={image.png_url.replace(/^.*\/|\.png$/g, "")} />
          )}
        </>
      )}
    </article>
  );
}

function PictureSoFar({ shown: { entry, image }, name }: { shown: Shown; name: string }) {
  const { width, height } = image === null ? entry.job.parameters : image;
  const src = image === null ? entry.preview : image.url;
  if (src === null) return <Placeholder width={width} height={height} />;
  // one element for previews and picture: a browser shows the old source until the new one is decoded
  const alt = image === null ? `Preview of ${name}` : name;
  return <Picture className={image === null ? "preview" : "finished"} src={src} alt={alt} width={width} height={height} />;
}

function AtWork({ entry, name, onCancel }: { entry: Entry; name: string; onCancel: (id: string) => void }) {
  if (isOver(entry)) return <JobEnding entry={entry} />;
  return (
    <div className="at-work">
      <JobProgress entry={entry} name={name} />
      <button type="button" onClick={() => onCancel(entry.job.id)}>
        Cancel
      </button>
    </div>
  );
}

function NothingYet() {
  return (
    <article className="sheet bare" aria-label="No picture yet">
      <div className="print">
        <Placeholder width={1} height={1} />
      </div>
      <p>
        A mezzotint begins as a plate that would print solid black. The picture is burnished out of the grain, step by
        step. Yours appears here.
      </p>
    </article>
  );
}

function day(instant: string): string {
  return new Date(instant).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

function fileName(name: string, seed: number): string {
  const slug = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  return `${slug || "picture"}-seed-${seed}.png`;
}
