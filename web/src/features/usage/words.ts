/** A number of things in words: 1 picture, 12,000 steps. */
export function count(number: number, one: string): string {
  return `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
}

/** A time of drawing, to two or three digits: 3.2 s, 48 s, 25 min, 39.9 h. */
export function lasting(seconds: number): string {
  if (seconds < 10) return `${trimmed(seconds)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`;
  return `${trimmed(seconds / 3_600)} h`;
}

/** The month of an instant as the ledger names it, in UTC: 2026-01. */
export function monthOf(instant: Date): string {
  return instant.toISOString().slice(0, 7);
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}
