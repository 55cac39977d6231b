/** Stands where the first preview will. A canvas has the picture's shape without a style attribute. */
export function Placeholder({ width, height }: { width: number; height: number }) {
  return <canvas className="plate" width={width} height={height} aria-hidden="true" />;
}
