/**
 * Pen paths: control points joined by centripetal Catmull–Rom splines (Catmull and Rom, 1974; Yuksel et al., "On the
 * parameterization of Catmull-Rom curves", 2009: the centripetal form has no cusps or self-intersections between
 * control points). Coordinates are in the glyph's box: x to the right, y down, about 0 … 1.
 */

export interface Point {
  x: number;
  y: number;
  /** The path may turn sharply here: the spline ends and a new one begins. */
  corner: boolean;
}

/** What the pen draws between touching and leaving the paper. */
export type Stroke = Point[];

/** A point that the path passes smoothly. */
export function at(x: number, y: number): Point {
  return { x, y, corner: false };
}

/** A point where the path turns. */
export function turn(x: number, y: number): Point {
  return { x, y, corner: true };
}

/**
 * Points along an ellipse; angles in degrees, 0 to the right, −90 at the top, growing clockwise on the screen.
 *
 * @param drift relative growth of the radius from the first to the last point (a spiral; 0 for a plain ellipse).
 */
export function arc(cx: number, cy: number, rx: number, ry: number, from: number, to: number, drift = 0): Point[] {
  const steps = Math.max(2, Math.ceil(Math.abs(to - from) / 40));
  const points: Point[] = [];
  for (let i = 0; i <= steps; i++) {
    const t = i / steps;
    const angle = ((from + (to - from) * t) * Math.PI) / 180;
    const radius = 1 + drift * (t - 0.5);
    points.push(at(cx + rx * radius * Math.cos(angle), cy + ry * radius * Math.sin(angle)));
  }
  return points;
}

/** A sampled path: straight pieces between close points. */
export interface Polyline {
  x: number[];
  y: number[];
}

/** Samples a stroke about every `spacing` units. */
export function sampleStroke(stroke: Stroke, spacing: number): Polyline {
  const x: number[] = [stroke[0].x];
  const y: number[] = [stroke[0].y];
  let first = 0;
  for (let i = 1; i < stroke.length; i++) {
    if (stroke[i].corner || i === stroke.length - 1) {
      sampleSpline(stroke, first, i, spacing, x, y);
      first = i;
    }
  }
  return { x, y };
}

function sampleSpline(stroke: Stroke, first: number, last: number, spacing: number, x: number[], y: number[]): void {
  for (let i = first; i < last; i++) {
    const p1 = stroke[i];
    const p2 = stroke[i + 1];
    const chord = Math.hypot(p2.x - p1.x, p2.y - p1.y);
    if (chord < 1e-6) continue;
    // Beyond the ends the path is continued as its own mirror image.
    const x0 = i > first ? stroke[i - 1].x : 2 * p1.x - p2.x;
    const y0 = i > first ? stroke[i - 1].y : 2 * p1.y - p2.y;
    const x3 = i + 1 < last ? stroke[i + 2].x : 2 * p2.x - p1.x;
    const y3 = i + 1 < last ? stroke[i + 2].y : 2 * p2.y - p1.y;
    const d01 = Math.max(Math.sqrt(Math.hypot(p1.x - x0, p1.y - y0)), 1e-3);
    const d12 = Math.sqrt(chord);
    const d23 = Math.max(Math.sqrt(Math.hypot(x3 - p2.x, y3 - p2.y)), 1e-3);
    const m1x = p2.x - p1.x + d12 * ((p1.x - x0) / d01 - (p2.x - x0) / (d01 + d12));
    const m1y = p2.y - p1.y + d12 * ((p1.y - y0) / d01 - (p2.y - y0) / (d01 + d12));
    const m2x = p2.x - p1.x + d12 * ((x3 - p2.x) / d23 - (x3 - p1.x) / (d12 + d23));
    const m2y = p2.y - p1.y + d12 * ((y3 - p2.y) / d23 - (y3 - p1.y) / (d12 + d23));
    const steps = Math.max(1, Math.round(chord / spacing));
    for (let s = 1; s <= steps; s++) {
      const t = s / steps;
      const h11 = t * t * (t - 1);
      const h10 = t * (t - 1) * (t - 1);
      const h01 = t * t * (3 - 2 * t);
      x.push(p1.x + h01 * (p2.x - p1.x) + h10 * m1x + h11 * m2x);
      y.push(p1.y + h01 * (p2.y - p1.y) + h10 * m1y + h11 * m2y);
    }
  }
}
