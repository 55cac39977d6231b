const KEY = "mezzotint.dismissed";
const MOST = 200; // older ones are no longer listed

/** The jobs whose end was seen and put away in this browser. */
export function readDismissed(): readonly string[] {
  return (localStorage.getItem(KEY) ?? "").split(" ");
}

export function keepDismissed(ids: readonly string[]): void {
  localStorage.setItem(KEY, [...ids, ...readDismissed()].slice(0, MOST).join(" "));
}
