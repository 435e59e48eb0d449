import { type Random, threefry2x32 } from '../tensor/random.js';

/**
 * Random displacement fields (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
 * visual document analysis", ICDAR 2003, section 2): independent uniform noise in ±1 for x and y at every pixel, smoothed by
 * (three boxes that come close to) a Gaussian with zeros beyond the border, times alpha. Noise of variance ⅓ smoothed with sigma has standard deviation
 * `alpha · √⅓ / (2·√π·sigma)` pixels: 1.4 for the paper's alpha 34 and sigma 4.
 */
export class ElasticField {
  /** Displacement of each pixel, [height · width]. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly #height: number;
  readonly #width: number;
  readonly #radii: readonly [number, number, number];
  readonly #sums: Float64Array;
  readonly #scratch: Float32Array;

  constructor(height: number, width: number, sigma: number) {
    this.#height = height;
    this.#width = width;
    this.x = new Float32Array(height * width);
    this.y = new Float32Array(height * width);
    this.#scratch = new Float32Array(height * width);
    this.#sums = new Float64Array(width);
    this.#radii = boxRadii(sigma);
  }

  /** Draws new fields from a stream of its own, keyed by `random`. */
  draw(random: Random, alpha: number): void {
    const { x, y } = this;
    const { key } = random.fork(0xe1a);
    const unit = 2 ** -15;
    // 16 bits are plenty for a value that is averaged over dozens of pixels; one draw gives two pixels of both fields.
    for (let i = 0; i < x.length; i += 2) {
      const [a, b] = threefry2x32(key, i, 0);
      x[i] = (a >> 16) * unit;
      y[i] = ((a << 16) >> 16) * unit;
      if (i + 1 === x.length) break;
      x[i + 1] = (b >> 16) * unit;
      y[i + 1] = ((b << 16) >> 16) * unit;
    }
    this.#smooth(x, alpha);
    this.#smooth(y, alpha);
  }

  /** Three boxes down the columns, then three along the rows; zeros beyond the border. */
  #smooth(field: Float32Array, alpha: number): void {
    const scratch = this.#scratch;
    const [a, b, c] = this.#radii;
    this.#boxColumns(field, scratch, a, 1);
    this.#boxColumns(scratch, field, b, 1);
    this.#boxColumns(field, scratch, c, 1);
    this.#boxRows(scratch, field, a, 1);
    this.#boxRows(field, scratch, b, 1);
    this.#boxRows(scratch, field, c, alpha);
  }

  /** Running sums of 2 · radius + 1 rows, so that the cost does not depend on the radius. */
  #boxColumns(from: Float32Array, to: Float32Array, radius: number, factor: number): void {
    const height = this.#height;
    const width = this.#width;
    const sums = this.#sums.fill(0);
    const scale = factor / (2 * radius + 1);
    for (let y = -radius; y < height; y++) {
      const entering = y + radius < height ? (y + radius) * width : -1;
      const leaving = y - radius - 1 >= 0 ? (y - radius - 1) * width : -1;
      if (entering >= 0) for (let x = 0; x < width; x++) sums[x] += from[entering + x];
      if (leaving >= 0) for (let x = 0; x < width; x++) sums[x] -= from[leaving + x];
      if (y >= 0) for (let x = 0; x < width; x++) to[y * width + x] = sums[x] * scale;
    }
  }

  #boxRows(from: Float32Array, to: Float32Array, radius: number, factor: number): void {
    const height = this.#height;
    const width = this.#width;
    const scale = factor / (2 * radius + 1);
    for (let row = 0; row < height * width; row += width) {
      let sum = 0;
      for (let x = 0; x < Math.min(radius, width); x++) sum += from[row + x];
      for (let x = 0; x < width; x++) {
        if (x + radius < width) sum += from[row + x + radius];
        if (x - radius - 1 >= 0) sum -= from[row + x - radius - 1];
        to[row + x] = sum * scale;
      }
    }
  }
}

/**
 * Radii of three boxes whose cascade has the variance of a Gaussian: odd widths around √(4σ² + 1) (Kovesi, "Fast almost-Gaussian
 * filtering", DICTA 2010).
 */
function boxRadii(sigma: number): [number, number, number] {
  const ideal = Math.sqrt(4 * sigma * sigma + 1);
  const low = Math.max(1, 2 * Math.floor((ideal - 1) / 2) + 1);
  const narrow = Math.round((12 * sigma * sigma - 3 * low * low - 12 * low - 9) / (-4 * low - 4));
  const radius = (i: number): number => ((i < narrow ? low : low + 2) - 1) / 2;
  return [radius(0), radius(1), radius(2)];
}
