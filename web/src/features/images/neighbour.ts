/** Where a key leads from cell `from` of a grid of `count` cells in rows of `columns`; null if it leads nowhere. */
export function neighbour(key: string, from: number, count: number, columns: number): number | null {
  const to = target(key, from, count, columns);
  return to === null || to < 0 || to >= count || to === from ? null : to;
}

function target(key: string, from: number, count: number, columns: number): number | null {
  switch (key) {
    case "ArrowLeft":
      return from - 1;
    case "ArrowRight":
      return from + 1;
    case "ArrowUp":
      return from - columns;
    case "ArrowDown":
      return from + columns;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
