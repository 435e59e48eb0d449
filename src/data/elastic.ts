import { type Random, threefry2x32 } from '../tensor/random.js';

/**
 * Random displacement fields (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
 * visual document analysis", ICDAR 2003, section 2): independent uniform noise in ±1 for x and y at every pixel, smoothed by
 * a Gaussian with zeros beyond the border, times alpha. Noise of variance ⅓ smoothed with sigma has standard deviation
 * `alpha · √⅓ / (2·√π·sigma)` pixels: 1.4 for the paper's alpha 34 and sigma 4.
 */
export class ElasticField {
  /** Displacement of each pixel, [height · width]. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly #height: number;
  readonly #width: number;
  readonly #kernel: Float32Array;
  readonly #scratch: Float32Array;

  constructor(height: number, width: number, sigma: number) {
    this.#height = height;
    this.#width = width;
    this.x = new Float32Array(height * width);
    this.y = new Float32Array(height * width);
    this.#scratch = new Float32Array(height * width);
    // One half of the symmetric kernel, cut at 3 sigma and normalised to sum 1.
    const radius = Math.ceil(3 * sigma);
    const weights = Array.from({ length: radius + 1 }, (_, i) => Math.exp((-i * i) / (2 * sigma * sigma)));
    const sum = 2 * weights.reduce((total, w) => total + w, 0) - weights[0];
    this.#kernel = Float32Array.from(weights, (w) => w / sum);
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

  /** Separable Gaussian, columns then rows, scaled. Whole rows at a time, so that the inner loop runs over neighbours. */
  #smooth(field: Float32Array, alpha: number): void {
    const height = this.#height;
    const width = this.#width;
    const kernel = this.#kernel;
    const scratch = this.#scratch;
    for (let y = 0; y < height; y++) {
      const row = y * width;
      for (let x = 0; x < width; x++) scratch[row + x] = kernel[0] * field[row + x];
      for (let k = 1; k < kernel.length; k++) {
        const w = kernel[k];
        const above = y - k >= 0 ? row - k * width : -1;
        const below = y + k < height ? row + k * width : -1;
        if (above < 0 && below < 0) break;
        if (above >= 0) for (let x = 0; x < width; x++) scratch[row + x] += w * field[above + x];
        if (below >= 0) for (let x = 0; x < width; x++) scratch[row + x] += w * field[below + x];
      }
    }
    for (let y = 0; y < height; y++) {
      const row = y * width;
      for (let x = 0; x < width; x++) {
        let sum = kernel[0] * scratch[row + x];
        const reach = Math.min(kernel.length - 1, Math.max(x, width - 1 - x));
        for (let k = 1; k <= reach; k++) {
          const left = x - k >= 0 ? scratch[row + x - k] : 0;
          const right = x + k < width ? scratch[row + x + k] : 0;
          sum += kernel[k] * (left + right);
        }
        field[row + x] = alpha * sum;
      }
    }
  }
}
