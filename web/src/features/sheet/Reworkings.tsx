import type { Asked, OwnImage, Task } from "../../api/types";
import { title, withoutSeed } from "../prompt/words";

interface Props {
  image: OwnImage;
  tasks: readonly Task[];
  onAsk: (asked: Asked) => void;
}

/** New pictures made of this one: near to it, further away, or with more pixels. */
export function Reworkings({ image, tasks, onAsk }: Props) {
  const source = image.png_url.replace(/^.*\/|\.png$/g, "");
  const vary = (strength: number) => onAsk({ prompt: withoutSeed(image.prompt), task: "variation", source, strength });
  const enlarge = (scale: number) => onAsk({ prompt: title(image.prompt), task: "upscale", source, scale });
  const buttons: [Task, string, () => void][] = [
    ["variation", "Vary a little", () => vary(0.5)],
    ["variation", "Vary a lot", () => vary(0.85)],
    ["upscale", "Enlarge 2×", () => enlarge(2)],
    ["upscale", "Enlarge 4×", () => enlarge(4)],
  ];
  return (
    <div className="actions reworkings" role="group" aria-label="Make of this picture">
      {buttons.map(
        ([task, label, ask]) =>
          tasks.includes(task) && (
            <button key={label} type="button" onClick={ask}>
              {label}
            </button>
          ),
      )}
    </div>
  );
}
