import { useCallback, useEffect, useRef, useState } from "react";
import type { Client } from "./api/client";
import { Failure, problemOf } from "./api/failure";
import type { Asked, OwnImage, Problem, Recipe } from "./api/types";
import { ImageGrid } from "./features/images/ImageGrid";
import { keyOf, useImages } from "./features/images/useImages";
import { Announcer } from "./features/jobs/Announcer";
import { isOver } from "./features/jobs/entries";
import { JobList } from "./features/jobs/JobList";
import { useJobs } from "./features/jobs/useJobs";
import { AboutModel } from "./features/model/AboutModel";
import { ModelChoice } from "./features/model/ModelChoice";
import { StyleChoice } from "./features/model/StyleChoice";
import { useModel } from "./features/model/useModel";
import { useModelName } from "./features/model/useModelName";
import { useStyles } from "./features/model/useStyles";
import { SpeedChoice } from "./features/model/SpeedChoice";
import { atSpeed, useSpeed } from "./features/model/useSpeed";
import { MoreOptions } from "./features/options/MoreOptions";
import { withOptions } from "./features/options/options";
import { useOptions } from "./features/options/useOptions";
import { again } from "./features/prompt/again";
import { keepDraft, takeDraft } from "./features/prompt/draft";
import { PromptBox } from "./features/prompt/PromptBox";
import { hasStyle, title } from "./features/prompt/words";
import { RecipeNote } from "./features/recipe/RecipeNote";
import { Viewer } from "./features/viewer/Viewer";
import { chooseShown, type Choice } from "./features/viewer/shown";
import { useJobOf } from "./features/viewer/useJobOf";
import { UsageNote } from "./features/usage/UsageNote";
import { useUsage } from "./features/usage/useUsage";

const TWICE_MS = 700; // a second press so soon is a slip of the finger, not another wish

/** The one screen: a prompt, the picture that is looked at, what is in the works, and my pictures. */
export function Studio({ client }: { client: Client }) {
  const [wantedModel, setWantedModel] = useModelName();
  const model = useModel(client, wantedModel);
  const modelName = model.names.find((name) => name === wantedModel) ?? null;
  const styles = useStyles(client, model.model?.name ?? null);
  const [wantedStyle, setWantedStyle] = useState<string | null>(null);
  const style = styles?.find(({ name }) => name === wantedStyle) ?? null;
  const [weight, setWeight] = useState<number | null>(null);
  const [options, setOptions] = useOptions();
  const [wantedSpeed, setWantedSpeed] = useSpeed();
  const speeds = model.model?.speeds ?? null;
  const speed = speeds?.find((one) => one === wantedSpeed) ?? null;
  const images = useImages(client);
  const [problem, setProblem] = useState<Problem | null>(null);
  const { add, refresh } = images;
  const onFound = useCallback(() => {
    refresh();
    setProblem((known) => (known?.code === "unreachable" ? null : known));
  }, [refresh]);
  const jobs = useJobs(client, add, onFound);
  const newest = images.images[0];
  const usage = useUsage(client, newest === undefined ? null : keyOf(newest));
  const [prompt, setPrompt] = useState(takeDraft);
  const [recipe, setRecipe] = useState<{ file: string; found: Recipe } | null>(null);
  const [isSending, setIsSending] = useState(false);
  const [choice, setChoice] = useState<Choice | null>(null);
  const last = useRef({ wish: "", at: -TWICE_MS });
  const box = useRef<HTMLTextAreaElement>(null);
  const viewer = useRef<HTMLDivElement>(null);

  const shown = chooseShown(choice, jobs.entries, images.images);
  const made = useJobOf(client, shown?.entry === null ? shown.image : null);
  const shownImage = shown?.image ?? null;
  const numOpen = jobs.entries.filter((entry) => !isOver(entry)).length;

  useEffect(() => {
    document.title = numOpen === 0 ? "Mezzotint" : `${numOpen} in the works · Mezzotint`;
    return () => {
      document.title = "Mezzotint";
    };
  }, [numOpen]);

  async function make(wish: Asked) {
    const text = JSON.stringify(wish);
    if (text === last.current.wish && performance.now() - last.current.at < TWICE_MS) return;
    last.current = { wish: text, at: performance.now() };
    setIsSending(true);
    setProblem(null);
    try {
      const takesModel = modelName !== null && wish.model === undefined && wish.task !== "upscale";
      const sent = await jobs.submit(atSpeed(takesModel ? { ...wish, model: modelName } : wish, speed));
      setChoice({ kind: "job", id: sent.id });
      box.current?.select(); // typing starts the next prompt, an arrow key goes on with this one
      bringIntoView(viewer.current);
    } catch (error) {
      if (error instanceof Failure && error.status === 401) keepDraft(prompt);
      setProblem(problemOf(error));
      box.current?.focus();
    } finally {
      setIsSending(false);
    }
  }

  async function read(file: File) {
    setProblem(null);
    setRecipe(null);
    try {
      const found = await client.inspect(file);
      setRecipe({ file: file.name, found });
      setPrompt(found.prompt);
    } catch (error) {
      setProblem(problemOf(error));
    }
  }

  const show = useCallback((next: Choice) => {
    setChoice(next);
    bringIntoView(viewer.current);
  }, []);
  const showImage = useCallback((image: OwnImage) => show({ kind: "image", image }), [show]);

  function use(text: string) {
    setPrompt(text);
    box.current?.focus();
  }

  function chooseStyle(name: string | null) {
    setWantedStyle(name);
    setWeight(null);
  }

  function withStyle(text: string): Asked {
    if (style === null || hasStyle(text)) return { prompt: text };
    return { prompt: text, styles: [weight === null ? { name: style.name } : { name: style.name, weight }] };
  }

  return (
    <main className="studio">
      <div className="desk">
        <PromptBox
          box={box}
          prompt={prompt}
          examples={model.model?.examples ?? null}
          choice={
            <>
              <ModelChoice names={model.names} chosen={modelName} onChoose={setWantedModel} />
              <StyleChoice styles={styles} chosen={style?.name ?? null} onChoose={chooseStyle} />
              <SpeedChoice speeds={speeds} chosen={speed} onChoose={setWantedSpeed} />
            </>
          }
          options={
            <MoreOptions
              model={model.model}
              options={options}
              style={style}
              weight={weight}
              onChoose={setOptions}
              onWeigh={setWeight}
              onWord={(word) => use(`${prompt.trimEnd()} ${word}`.trimStart())}
            />
          }
          isSending={isSending}
          problem={problem}
          onChange={setPrompt}
          onSubmit={(text) => void make(withOptions(withStyle(text), options, model.model))}
          onDismiss={() => {
            setProblem(null);
            box.current?.focus();
          }}
          onFile={(file) => void read(file)}
        />
        <RecipeNote recipe={recipe} onAgain={(asked) => void make(asked)} onDismiss={() => setRecipe(null)} />
      </div>
      <div className="table" ref={viewer}>
        <Viewer
          shown={shown}
          job={shown?.entry?.job ?? made}
          model={model.model}
          onCancel={(id) => jobs.cancel([id])}
          onAsk={(asked) => void make(asked)}
          onRework={(asked) => void make(withOptions(asked, options, model.model))}
          onUse={use}
          loadOrigins={client.origins}
          loadFile={client.file}
        />
      </div>
      <div className="works">
        <JobList
          jobs={jobs}
          shown={shown?.entry?.job.id ?? null}
          box={box}
          onShow={(id) => show({ kind: "job", id })}
          onRetry={(job) => void make(again(job))}
        />
      </div>
      <div className="shelf">
        <ImageGrid images={images} shown={shownImage === null ? null : keyOf(shownImage)} onShow={showImage} />
      </div>
      <div className="margin">
        <AboutModel view={model} />
        <UsageNote usage={usage} />
      </div>
      <Announcer entries={jobs.entries} chosen={choice?.kind === "image" ? title(choice.image.prompt) : null} />
    </main>
  );
}

function bringIntoView(element: Element | null): void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const top = element?.getBoundingClientRect().top ?? 0;
  if (top >= 0 && top < innerHeight / 2) return;
  element?.scrollIntoView({ block: "start", behavior: isStill ? "auto" : "smooth" });
}
