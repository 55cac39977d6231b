import { useState } from "react";
import { parseOptions, type Options } from "./options";

const KEY = "mezzotint.options";

/** The options that were chosen in this browser. */
export function useOptions(): [Options, (options: Options) => void] {
  const [options, setOptions] = useState(() => parseOptions(localStorage.getItem(KEY)));
  return [
    options,
    (chosen) => {
      localStorage.setItem(KEY, JSON.stringify(chosen));
      setOptions(chosen);
    },
  ];
}
