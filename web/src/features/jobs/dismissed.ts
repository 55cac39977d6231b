const KEY = "mezzotint.dismissed";
const MOST = 200; // older ones are no longer listed

/** The jobs whose end was seen and put away in this browser. */
export function readDismissed(): readonly string[] {
  const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
  return Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : [];
}

export function keepDismissed(ids: readonly string[]): void {
  localStorage.setItem(KEY, JSON.stringify([...ids, ...readDismissed()].slice(0, MOST)));
}
