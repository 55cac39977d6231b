export type Theme = "light" | "dark";

const KEY = "mezzotint.theme";

export function systemTheme(): Theme {
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** The theme that was chosen here, or null where the system decides. */
export function chosenTheme(): Theme | null {
  const chosen = localStorage.getItem(KEY);
  return chosen === "light" || chosen === "dark" ? chosen : null;
}

/** Wear `theme` from now on; the system decides again once both agree. */
export function chooseTheme(theme: Theme): void {
  if (theme === systemTheme()) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  wearTheme();
}

export function wearTheme(): void {
  const chosen = chosenTheme();
  if (chosen === null) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
