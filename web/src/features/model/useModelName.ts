import { useState } from "react";

const KEY = "mezzotint.model";

/** The model that was chosen in this browser, served or not; null: none was. */
export function useModelName(): [string | null, (name: string) => void] {
  const [name, setName] = useState(() => localStorage.getItem(KEY));
  return [
    name,
    (chosen) => {
      localStorage.setItem(KEY, chosen);
      setName(chosen);
    },
  ];
}
