import type { Asked, Model, OwnImage, Task } from "../../api/types";
import { withoutSeed, withoutShape } from "../prompt/words";
import { EditForm } from "./EditForm";

interface Props {
  image: OwnImage;
  model: Model;
  onAsk: (asked: Asked) => void;
}

/** New pictures made of this one: near to it, further away, with more pixels, or changed as words tell. */
export function Reworkings({ image, model, onAsk }: Props) {
  const source = image.png_url.replace(/^.*\/|\.png$/g, "");
  const vary = (strength: number) => onAsk({ prompt: withoutSeed(image.prompt), task: "variation", source, strength });
  const enlarge = (scale: number) => onAsk({ prompt: withoutShape(image.prompt), task: "upscale", source, scale });
  const buttons: [Task, string, () => void][] = [
    ["variation", "Vary a little", () => vary(0.5)],
    ["variation", "Vary a lot", () => vary(0.85)],
    ["upscale", "Enlarge 2×", () => enlarge(2)],
    ["upscale", "Enlarge 4×", () => enlarge(4)],
  ];
  const isTooLarge = model.tasks.includes("variation") && Math.max(image.width, image.height) > model.max_px;
  return (
    <>
      <div className="actions reworkings" role="group" aria-label="Make of this picture">
        {buttons.map(
          ([task, label, ask]) =>
            model.tasks.includes(task) && (
              <button key={label} type="button" onClick={ask}>
                {label}
              </button>
            ),
        )}
        {isTooLarge && (
          <p className="quiet">
            Varied, it becomes smaller: {model.name} draws up to {model.max_px} px a side.
          </p>
        )}
      </div>
      {model.tasks.includes("edit") && <EditForm onEdit={(prompt) => onAsk({ prompt, task: "edit", source })} />}
    </>
  );
}
