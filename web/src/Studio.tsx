import { useCallback, useRef, useState } from "react";
import type { Client } from "./api/client";
import { problemOf } from "./api/failure";
import type { Job, OwnImage, Problem } from "./api/types";
import { ImageGrid } from "./features/images/ImageGrid";
import { imagesOf, useImages } from "./features/images/useImages";
import { Announcer } from "./features/jobs/Announcer";
import type { Entry } from "./features/jobs/entries";
import { JobList } from "./features/jobs/JobList";
import { useJobs } from "./features/jobs/useJobs";
import { AboutModel } from "./features/model/AboutModel";
import { useModel } from "./features/model/useModel";
import { PromptBox } from "./features/prompt/PromptBox";
import { Sheet, type Shown } from "./features/sheet/Sheet";
import { useJobOf } from "./features/sheet/useJobOf";

type Choice = { kind: "job"; id: string } | { kind: "image"; image: OwnImage };

/** The one screen: a prompt, what is in the works, the picture on the table, and my pictures. */
export function Studio({ client }: { client: Client }) {
  const model = useModel(client);
  const images = useImages(client);
  const jobs = useJobs(client, images.add);
  const [prompt, setPrompt] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isSending, setIsSending] = useState(false);
  const [choice, setChoice] = useState<Choice | null>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const table = useRef<HTMLDivElement>(null);

  const newest = jobs.entries[0];
  const chosen = choice?.kind === "job" ? jobs.entries.find((entry) => entry.job.id === choice.id) : undefined;
  const entry = choice === null ? newest : chosen;
  const made = entry === undefined ? undefined : imagesOf(entry.job)[0];
  const image = choice?.kind === "image" ? choice.image : (made ?? (entry === undefined ? images.images[0] : undefined));
  const job = useJobOf(client, image === undefined || made !== undefined ? null : image);
  const shown = lay(entry, image, made === undefined ? job : (entry?.job ?? null));

  async function make(text: string) {
    setIsSending(true);
    setProblem(null);
    try {
      const sent = await jobs.submit(text);
      setChoice({ kind: "job", id: sent.id });
      box.current?.select(); // typing starts the next prompt, an arrow key goes on with this one
      bringIntoView(table.current);
    } catch (error) {
      setProblem(problemOf(error));
      box.current?.focus();
    } finally {
      setIsSending(false);
    }
  }

  const show = useCallback((next: Choice) => {
    setChoice(next);
    bringIntoView(table.current);
  }, []);

  function use(text: string) {
    setPrompt(text);
    box.current?.focus();
  }

  return (
    <main className="studio">
      <div className="desk">
        <PromptBox
          box={box}
          prompt={prompt}
          examples={model.model?.examples ?? []}
          isSending={isSending}
          problem={problem}
          onChange={setPrompt}
          onSubmit={(text) => void make(text)}
          onDismiss={() => setProblem(null)}
        />
        <JobList
          jobs={jobs}
          shown={shown?.entry?.job.id ?? null}
          onShow={(id) => show({ kind: "job", id })}
          onRetry={(text) => void make(text)}
        />
      </div>
      <div className="table" ref={table}>
        <Sheet
          shown={shown}
          onCancel={(id) => void jobs.cancel(id)}
          onMake={(text) => void make(text)}
          onUse={use}
        />
      </div>
      <div className="shelf">
        <ImageGrid images={images} shown={shown?.image ?? null} onShow={(next) => show({ kind: "image", image: next })} />
      </div>
      <div className="margin">
        <AboutModel view={model} />
      </div>
      <Announcer entry={newest} />
    </main>
  );
}

/** What the sheet shows, if there is anything to show. */
function lay(entry: Entry | undefined, image: OwnImage | undefined, job: Job | null): Shown | null {
  const prompt = image?.prompt ?? entry?.job.prompt;
  return prompt === undefined ? null : { prompt, entry: entry ?? null, image: image ?? null, job };
}

function bringIntoView(element: Element | null): void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const top = element?.getBoundingClientRect().top ?? 0;
  if (top >= 0 && top < innerHeight / 2) return;
  element?.scrollIntoView({ block: "start", behavior: isStill ? "auto" : "smooth" });
}
