import { useState } from "react";
import type { Asked, Speed } from "../../api/types";

const KEY = "mezzotint.speed";
const SPEEDS: readonly Speed[] = ["exact", "balanced", "fast"];

/** The speed that was chosen in this browser; null: none was. */
export function useSpeed(): [Speed | null, (speed: Speed | null) => void] {
  const [speed, setSpeed] = useState(() => SPEEDS.find((one) => one === localStorage.getItem(KEY)) ?? null);
  return [
    speed,
    (chosen) => {
      if (chosen === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, chosen);
      setSpeed(chosen);
    },
  ];
}

/** The wish at that speed, unless it says one itself or has no steps. */
export function atSpeed(wish: Asked, speed: Speed | null): Asked {
  const hasOwn = wish.speed !== undefined || /--speed\b/i.test(wish.prompt);
  return speed === null || hasOwn || wish.task === "upscale" ? wish : { ...wish, speed };
}
