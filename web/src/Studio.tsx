import { useCallback, useRef, useState } from "react";
import type { Client } from "./api/client";
import { problemOf } from "./api/failure";
import type { Asked, Problem } from "./api/types";
import { ImageGrid } from "./features/images/ImageGrid";
import { keyOf, useImages } from "./features/images/useImages";
import { Announcer } from "./features/jobs/Announcer";
import { JobList } from "./features/jobs/JobList";
import { useJobs } from "./features/jobs/useJobs";
import { AboutModel } from "./features/model/AboutModel";
import { ModelChoice } from "./features/model/ModelChoice";
import { useModel } from "./features/model/useModel";
import { PromptBox } from "./features/prompt/PromptBox";
import { Sheet } from "./features/sheet/Sheet";
import { lay, type Choice } from "./features/sheet/shown";
import { useJobOf } from "./features/sheet/useJobOf";
import { UsageNote } from "./features/usage/UsageNote";
import { useUsage } from "./features/usage/useUsage";

/** The one screen: a prompt, what is in the works, the picture on the table, and my pictures. */
export function Studio({ client }: { client: Client }) {
  const [modelName, setModelName] = useState<string | null>(null);
  const model = useModel(client, modelName);
  const images = useImages(client);
  const jobs = useJobs(client, images.add);
  const newest = images.images[0];
  const usage = useUsage(client, newest === undefined ? null : keyOf(newest));
  const [prompt, setPrompt] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isSending, setIsSending] = useState(false);
  const [choice, setChoice] = useState<Choice | null>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const table = useRef<HTMLDivElement>(null);

  const shown = lay(choice, jobs.entries, images.images);
  const made = useJobOf(client, shown?.entry === null ? shown.image : null);

  async function make(asked: string | Asked) {
    setIsSending(true);
    setProblem(null);
    try {
      const wish: Asked = typeof asked === "string" ? { prompt: asked } : asked;
      const isModels = modelName !== null && wish.task !== "upscale";
      const sent = await jobs.submit(isModels ? { ...wish, model: modelName } : wish);
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
          choice={<ModelChoice names={model.names} chosen={modelName} onChoose={setModelName} />}
          isSending={isSending}
          problem={problem}
          onChange={setPrompt}
          onSubmit={(text) => void make(text)}
          onDismiss={() => setProblem(null)}
        />
      </div>
      <div className="table" ref={table}>
        <Sheet
          shown={shown}
          job={shown?.entry?.job ?? made}
          onCancel={(id) => void jobs.cancel(id)}
          tasks={model.model?.tasks ?? []}
          onMake={(text) => void make(text)}
          onAsk={(asked) => void make(asked)}
          onUse={use}
        />
      </div>
      <div className="works">
        <JobList
          jobs={jobs}
          shown={shown?.entry?.job.id ?? null}
          onShow={(id) => show({ kind: "job", id })}
          onRetry={(text) => void make(text)}
        />
      </div>
      <div className="shelf">
        <ImageGrid images={images} shown={shown?.image ?? null} onShow={(next) => show({ kind: "image", image: next })} />
      </div>
      <div className="margin">
        <AboutModel view={model} />
        <UsageNote usage={usage} />
      </div>
      <Announcer entry={jobs.entries[0]} />
    </main>
  );
}

function bringIntoView(element: Element | null): void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const top = element?.getBoundingClientRect().top ?? 0;
  if (top >= 0 && top < innerHeight / 2) return;
  element?.scrollIntoView({ block: "start", behavior: isStill ? "auto" : "smooth" });
}
