import { Random } from '../../tensor/random.js';
import type { InkStroke } from './writer.js';

/** Side of the image, and of the square the digit is fitted into, in pixels. */
export const SIDE = 28;
const BOX = 20;
/** Samples per pixel and axis of the box. */
const SAMPLES = 3;
const GRID = BOX * SAMPLES;
/** "No ink near" in the field of signed distances. */
const FAR = -1e3;

const TILE = 64;
/** Roughness of the ink's edge: smoothed noise with unit variance, repeated over the plane. */
function smoothNoise(): Float32Array {
  const random = new Random(0x1a7e);
  let tile = Float32Array.from({ length: TILE * TILE }, () => random.normal());
  for (let round = 0; round < 2; round++) {
    const from = tile;
    tile = from.map((_, i) => {
      const [x, y] = [i % TILE, Math.floor(i / TILE)];
      let sum = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          sum += from[((y + dy + TILE) % TILE) * TILE + ((x + dx + TILE) % TILE)];
        }
      }
      return sum / 9;
    });
  }
  const deviation = Math.sqrt(tile.reduce((sum, v) => sum + v * v, 0) / tile.length);
  return tile.map((v) => v / deviation);
}

/** Made when the first ink is drawn, not whenever the package is loaded. */
let noise: Float32Array | undefined;

const field = new Float32Array(GRID * GRID);
const area = new Float32Array(BOX * BOX);

/**
 * Draws ink anti-aliased in the convention of MNIST (LeCun et al., 1998, section III.A): white on black, fitted into
 * 20×20 with the aspect kept, then moved by whole pixels so that the centre of mass lies in the middle of 28×28.
 *
 * @param blur width of the edge's ramp in pixels.
 * @param rough standard deviation of the edge's position in pixels.
 * @param noiseOffset which part of the noise roughens the edge.
 * @param out 784 bytes, zero before the call.
 */
export function render(ink: InkStroke[], blur: number, rough: number, noiseOffset: number, out: Uint8Array): void {
  fit(ink);
  field.fill(FAR);
  for (const stroke of ink) {
    const { x, y, radius } = stroke;
    for (let i = 0; i < x.length; i++) {
      const j = i + 1 < x.length ? i + 1 : i;
      if (j > i || x.length === 1) stamp(x[i], y[i], radius[i], x[j], y[j], radius[j]);
    }
  }
  cover(blur, rough, noiseOffset);
  centre(out);
}

/** x0, y0, x1, y1 of the ink when its path is drawn at `scale`, its radii multiplied by `pen`. */
function bounds(ink: InkStroke[], scale: number, pen: number): [number, number, number, number] {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, radius } of ink) {
    for (let i = 0; i < x.length; i++) {
      const r = pen * radius[i];
      x0 = Math.min(x0, scale * x[i] - r);
      y0 = Math.min(y0, scale * y[i] - r);
      x1 = Math.max(x1, scale * x[i] + r);
      y1 = Math.max(y1, scale * y[i] + r);
    }
  }
  return [x0, y0, x1, y1];
}

/** Scales the path and moves the ink so that path and pen together fill the box; afterwards lengths are in samples. */
function fit(ink: InkStroke[]): void {
  let [x0, y0, x1, y1] = bounds(ink, 1, 0);
  const extent = Math.max(x1 - x0, y1 - y0, 1e-3);
  let scale = (BOX - 2) / extent;
  // The pen's radius is in pixels and does not scale with the path, hence the correction in two steps.
  for (let round = 0; round < 2; round++) {
    [x0, y0, x1, y1] = bounds(ink, scale, 1);
    scale = Math.max(1, scale + (BOX - Math.max(x1 - x0, y1 - y0)) / extent);
  }
  [x0, y0, x1, y1] = bounds(ink, scale, 1);
  const dx = (BOX - x0 - x1) / 2;
  const dy = (BOX - y0 - y1) / 2;
  for (const { x, y, radius } of ink) {
    for (let i = 0; i < x.length; i++) {
      x[i] = (scale * x[i] + dx) * SAMPLES;
      y[i] = (scale * y[i] + dy) * SAMPLES;
      radius[i] *= SAMPLES;
    }
  }
}

/** Raises the field to (radius − distance) around a piece of path whose radius changes linearly. */
function stamp(ax: number, ay: number, ar: number, bx: number, by: number, br: number): void {
  const reach = Math.max(ar, br) + 2.5;
  const x0 = Math.max(0, Math.ceil(Math.min(ax, bx) - reach - 0.5));
  const x1 = Math.min(GRID - 1, Math.floor(Math.max(ax, bx) + reach - 0.5));
  const y0 = Math.max(0, Math.ceil(Math.min(ay, by) - reach - 0.5));
  const y1 = Math.min(GRID - 1, Math.floor(Math.max(ay, by) + reach - 0.5));
  const dx = bx - ax;
  const dy = by - ay;
  const dr = br - ar;
  const inverse = 1 / Math.max(dx * dx + dy * dy, 1e-9);
  for (let j = y0; j <= y1; j++) {
    const py = j + 0.5 - ay;
    for (let i = x0; i <= x1; i++) {
      const px = i + 0.5 - ax;
      let t = (px * dx + py * dy) * inverse;
      t = Math.max(0, Math.min(1, t));
      const ex = px - t * dx;
      const ey = py - t * dy;
      const depth = ar + t * dr - Math.sqrt(ex * ex + ey * ey);
      const at = j * GRID + i;
      if (depth > field[at]) field[at] = depth;
    }
  }
}

/** Turns the field into the share of every pixel that is inked. */
function cover(blur: number, rough: number, noiseOffset: number): void {
  area.fill(0);
  const gain = 1 / (blur * SAMPLES);
  const amplitude = rough * SAMPLES;
  noise ??= smoothNoise();
  for (let j = 0; j < GRID; j++) {
    const row = Math.floor(j / SAMPLES) * BOX;
    for (let i = 0; i < GRID; i++) {
      let depth = field[j * GRID + i];
      if (depth === FAR) continue;
      const tile = (noiseOffset + (j % TILE) * TILE + (i % TILE)) % (TILE * TILE);
      depth = (depth + amplitude * noise[tile]) * gain + 0.5;
      if (depth <= 0) continue;
      area[row + Math.floor(i / SAMPLES)] += Math.min(depth, 1);
    }
  }
}

/** Copies the area with its centre of mass to the middle of the image. */
function centre(out: Uint8Array): void {
  let mass = 0;
  let mx = 0;
  let my = 0;
  for (let j = 0; j < BOX; j++) {
    for (let i = 0; i < BOX; i++) {
      const value = area[j * BOX + i];
      mass += value;
      mx += value * i;
      my += value * j;
    }
  }
  const shiftX = Math.round(SIDE / 2 - mx / mass);
  const shiftY = Math.round(SIDE / 2 - my / mass);
  for (let j = 0; j < BOX; j++) {
    const y = j + shiftY;
    if (y < 0 || y >= SIDE) continue;
    for (let i = 0; i < BOX; i++) {
      const x = i + shiftX;
      if (x < 0 || x >= SIDE) continue;
      out[y * SIDE + x] = Math.round((area[j * BOX + i] * 255) / (SAMPLES * SAMPLES));
    }
  }
}
