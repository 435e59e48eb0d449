import type { Random } from '../../tensor/random.js';
import { type Polyline, type Stroke, sampleStroke } from './curve.js';

/** What the digits of one writer have in common. Lengths are relative to the height of a digit unless said otherwise. */
export interface Writer {
  /** Shear: how far the top leans to the right. */
  slant: number;
  /** Width against the upright proportions of the glyph models. */
  aspect: number;
  /** Radians, clockwise: the line of writing is not level. */
  rotation: number;
  /** Pen radius in pixels of the final image. */
  pen: number;
  /** Change of the pen radius along a stroke, as a fraction. */
  pressure: number;
  /** Broad nib: difference of the radius between directions, as a fraction, and the angle of the broad direction. */
  nib: number;
  nibAngle: number;
  /** Standard deviation of where control points land. */
  care: number;
  /** Tremor along the path. */
  wobble: number;
  /** Rounds of smoothing of the path: hasty hands cut corners. */
  haste: number;
  /** Amplitude of smooth distortions of the whole glyph. */
  elastic: number;
  /** Chance that a stroke begins or ends with a hook. */
  hooks: number;
  /** Chance of a gap in a stroke. */
  skips: number;
  /** Width of the edge's ramp and roughness of the edge, both in pixels. */
  blur: number;
  rough: number;
}

/** Draws a writer. */
export function drawWriter(random: Random): Writer {
  return {
    slant: Math.max(-0.35, Math.min(0.75, random.normal(0.17, 0.2))),
    aspect: 0.8 * Math.exp(random.normal(0, 0.14)),
    rotation: random.normal(0, 0.06),
    pen: Math.min(2.2, 1.27 * Math.exp(random.normal(0, 0.24))),
    pressure: random.uniform(0.02, 0.2),
    nib: Math.max(0, random.normal(0.05, 0.1)),
    nibAngle: random.uniform(0, Math.PI),
    care: Math.min(0.06, 0.02 * Math.exp(random.normal(0, 0.5))),
    wobble: random.uniform(0, 0.01),
    haste: random.uniform(0, 1) ** 2 * 10,
    elastic: Math.min(0.06, 0.02 * Math.exp(random.normal(0, 0.5))),
    hooks: random.uniform(0, 1) ** 2 * 0.5,
    skips: random.uniform() < 0.2 ? random.uniform(0, 0.4) : 0,
    blur: random.uniform(0.15, 0.6),
    rough: random.uniform(0, 0.3),
  };
}

/** A drawn stroke: its path, about one digit high, and the pen's radius in pixels at every point. */
export interface InkStroke extends Polyline {
  radius: number[];
}

/** Distance between samples of a path: less than a pixel of the final image. */
const SPACING = 0.04;

/** The path of a glyph in the hand of a writer. */
export function write(strokes: Stroke[], writer: Writer, random: Random): InkStroke[] {
  const lines = strokes.map((stroke) => {
    for (const point of stroke) {
      point.x += random.normal(0, writer.care);
      point.y += random.normal(0, writer.care);
    }
    addHooks(stroke, writer, random);
    const line = sampleStroke(stroke, SPACING);
    smooth(line, Math.round(writer.haste * random.uniform(0.5, 1.3)));
    tremble(line, writer.wobble, random);
    return line;
  });
  deform(lines, writer, random);
  // Digits with a long path are written larger, which after fitting is a thinner line.
  const length = lines.reduce((sum, line) => sum + line.x.length * SPACING, 0);
  const pen = writer.pen * (length / 2.3) ** -0.12 * Math.exp(random.normal(0, 0.06));
  return lines.map((line) => ({ ...line, radius: penRadius(line, pen, writer, random) }));
}

/** A short turn where the pen lands or leaves: the hand is already, or still, on its way. */
function addHooks(stroke: Stroke, writer: Writer, random: Random): void {
  if (random.uniform() < writer.hooks) {
    const { x, y } = stroke[0];
    stroke.unshift({ x: x + random.normal(-0.02, 0.04), y: y + random.normal(0.02, 0.04), corner: false });
  }
  if (random.uniform() < writer.hooks) {
    const { x, y } = stroke[stroke.length - 1];
    stroke.push({ x: x + random.normal(0.02, 0.05), y: y + random.normal(-0.02, 0.04), corner: false });
  }
}

/** Moves every inner point towards its neighbours, which rounds corners and shrinks small features. */
function smooth(line: Polyline, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    for (const axis of [line.x, line.y]) {
      let before = axis[0];
      for (let i = 1; i + 1 < axis.length; i++) {
        const here = axis[i];
        axis[i] = 0.25 * before + 0.5 * here + 0.25 * axis[i + 1];
        before = here;
      }
    }
  }
}

function tremble(line: Polyline, amplitude: number, random: Random): void {
  const a = amplitude * random.normal();
  const b = amplitude * random.normal();
  const [fa, fb] = [random.uniform(0.15, 0.5), random.uniform(0.15, 0.5)];
  const [pa, pb] = [random.uniform(0, 6.3), random.uniform(0, 6.3)];
  for (let i = 0; i < line.x.length; i++) {
    line.x[i] += a * Math.sin(fa * i + pa);
    line.y[i] += b * Math.sin(fb * i + pb);
  }
}

/** Smooth distortion, then proportions, slant and rotation, the same for all strokes of the glyph. */
function deform(lines: Polyline[], writer: Writer, random: Random): void {
  const amplitude = writer.elastic;
  const waves = [0, 1, 2, 3].map(() => ({
    kx: random.uniform(-5, 5),
    ky: random.uniform(-5, 5),
    phase: random.uniform(0, 2 * Math.PI),
    dx: amplitude * random.normal(),
    dy: amplitude * random.normal(),
  }));
  // The top wider than the bottom or the other way round; the upper half taller than the lower or the other way round.
  const taper = random.normal(0, 0.1);
  const rise = random.normal(0, 0.07);
  const aspect = writer.aspect * Math.exp(random.normal(0, 0.12));
  const slant = writer.slant + random.normal(0, 0.07);
  const angle = writer.rotation + random.normal(0, 0.05);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (const line of lines) {
    for (let i = 0; i < line.x.length; i++) {
      let x = line.x[i] - 0.5;
      let y = line.y[i] - 0.5;
      let dx = 0;
      let dy = 0;
      for (const wave of waves) {
        const s = Math.sin(wave.kx * x + wave.ky * y + wave.phase);
        dx += wave.dx * s;
        dy += wave.dy * s;
      }
      y += dy + rise * (1 - 4 * y * y);
      x = (x + dx) * (1 + 2 * taper * y) * aspect - slant * y;
      line.x[i] = cos * x - sin * y;
      line.y[i] = sin * x + cos * y;
    }
  }
}

function penRadius(line: Polyline, pen: number, writer: Writer, random: Random): number[] {
  const count = line.x.length;
  const radius: number[] = new Array(count);
  const wave = writer.pressure * random.normal(0, 0.8);
  const frequency = random.uniform(0.03, 0.25);
  const phase = random.uniform(0, 2 * Math.PI);
  const trend = writer.pressure * random.normal(0, 0.7);
  const startTaper = random.uniform() < 0.3 ? random.uniform(0.1, 0.5) : 0;
  const endTaper = random.uniform() < 0.4 ? random.uniform(0.1, 0.6) : 0;
  const reach = random.uniform(2, 6);
  for (let i = 0; i < count; i++) {
    const before = Math.max(0, i - 1);
    const after = Math.min(count - 1, i + 1);
    const direction = Math.atan2(line.y[after] - line.y[before], line.x[after] - line.x[before]);
    let factor = 1 + wave * Math.sin(frequency * i + phase) + trend * (i / count - 0.5);
    factor *= 1 + writer.nib * Math.cos(2 * (direction - writer.nibAngle));
    factor *= 1 - startTaper * Math.exp(-i / reach) - endTaper * Math.exp(-(count - 1 - i) / reach);
    radius[i] = Math.max(0.4, pen * factor);
  }
  if (random.uniform() < writer.skips) {
    // The pen runs dry or jumps: a faint or missing piece inside the stroke.
    const length = random.integer(4) + 1;
    const first = random.integer(count);
    for (let i = first; i < Math.min(count, first + length); i++) radius[i] = random.uniform(-0.8, 0.7);
  }
  return radius;
}
