/** The grained plate before the first preview. A canvas has the picture's shape without a style attribute. */
export function Plate({ width, height }: { width: number; height: number }) {
  return <canvas className="plate" width={width} height={height} aria-hidden="true" />;
}
