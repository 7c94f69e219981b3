// A smooth closed day from 24 numbers. Pure geometry for the tide at the top of the page.

export interface Point {
  x: number;
  y: number;
}

/**
 * Points of the day at the middle of each hour, and at both edges the mean of 23:30 and 00:30, so that
 * midnight meets itself. `values` has 24 entries; x runs 0..`width`, y is the value itself.
 */
export function dayPoints(values: readonly number[], width: number): Point[] {
  const step = width / 24;
  const edge = ((values[0] ?? 0) + (values[23] ?? 0)) / 2;
  return [
    { x: 0, y: edge },
    ...Array.from({ length: 24 }, (_, hour) => ({ x: (hour + 0.5) * step, y: values[hour] ?? 0 })),
    { x: width, y: edge },
  ];
}

/**
 * Tangents of the monotone cubic through `points` (Fritsch and Carlson 1980, with Steffen's limiter): the
 * curve never rises above or falls below the values it connects, so no wave shows where there is none.
 */
function tangents(points: readonly Point[]): number[] {
  const slope = (i: number): number => {
    const a = points[i];
    const b = points[i + 1];
    return a && b ? (b.y - a.y) / (b.x - a.x) : 0;
  };
  return points.map((_, i) => {
    if (i === 0 || i === points.length - 1) return 0;
    const left = slope(i - 1);
    const right = slope(i);
    if (left * right <= 0) return 0;
    return Math.sign(left) * Math.min(Math.abs(left + right) / 2, 2 * Math.abs(left), 2 * Math.abs(right));
  });
}

/** The curve as an SVG path, without moving to the floor: `M … C …`. */
export function curvePath(points: readonly Point[]): string {
  const m = tangents(points);
  const f = (v: number): string => String(Math.round(v * 100) / 100);
  let path = "";
  points.forEach((p, i) => {
    const q = points[i - 1];
    if (!q) {
      path = `M${f(p.x)},${f(p.y)}`;
      return;
    }
    const third = (p.x - q.x) / 3;
    path += `C${f(q.x + third)},${f(q.y + third * (m[i - 1] ?? 0))} ${f(p.x - third)},${f(p.y - third * (m[i] ?? 0))} ${f(p.x)},${f(p.y)}`;
  });
  return path;
}

/** The value between the points, linearly: for the place of a marker. */
export function valueAt(points: readonly Point[], x: number): number {
  for (let i = 1; i < points.length; i += 1) {
    const a = points[i - 1];
    const b = points[i];
    if (a && b && x <= b.x) return a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x);
  }
  return points.at(-1)?.y ?? 0;
}
