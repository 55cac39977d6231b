import { useEffect, useState } from "react";
import { chooseTheme, chosenTheme, systemTheme } from "./theme";

export function ThemeToggle() {
  const [theme, setTheme] = useState(() => chosenTheme() ?? systemTheme());

  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const look = () => setTheme(chosenTheme() ?? systemTheme());
    system.addEventListener("change", look);
    return () => system.removeEventListener("change", look);
  }, []);

  const other = theme === "dark" ? "light" : "dark";
  return (
    <button
      type="button"
      className="plain icon"
      aria-label={`Use the ${other} theme`}
      title={`Use the ${other} theme`}
      onClick={() => {
        chooseTheme(other);
        setTheme(other);
      }}
    >
      <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
        <circle cx="10" cy="10" r="7.25" fill="none" stroke="currentColor" strokeWidth="1.5" />
        <path d="M10 2.75a7.25 7.25 0 0 1 0 14.5z" fill="currentColor" />
      </svg>
    </button>
  );
}
