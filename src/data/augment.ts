import { checkOptions, OptionError } from '../tensor/errors.js';
import { Random, type RandomKey } from '../tensor/random.js';
import { ElasticField } from './elastic.js';
import type { ChannelStatistics } from './image/normalize.js';

/**
 * Random changes of training images, as data that fits in JSON. Each image of each epoch draws its own; all that move pixels are
 * composed into one sampling with bilinear interpolation (flips and crops alone copy pixels unchanged).
 */
export interface AugmentOptions {
  /** Moves by up to ± this many pixels along each axis. */
  shift?: number;
  /** Turns by up to ± this many degrees about the centre. */
  rotate?: number;
  /** Scales about the centre by a factor in 1 ± this, below 1. */
  scale?: number;
  /** Mirrors left and right, half of the time. */
  flip?: boolean;
  /** Pads by this many pixels on every side and cuts the original size at a random whole-pixel place (He et al., CVPR 2016, section 4.2). */
  crop?: number;
  /** Elastic distortion (Simard, Steinkraus and Platt, ICDAR 2003, section 2): uniform noise in ±1, smoothed with `sigma` pixels, times `alpha`. */
  elastic?: { alpha: number; sigma: number };
  /** Multiplies all values by a factor in 1 ± this. */
  brightness?: number;
  /** Stretches values about the image's mean by a factor in 1 ± this. */
  contrast?: number;
  /** Covers one square at a random place with the mean colour; its side as a share of the shorter image side (DeVries and Taylor, 2017: cutout). */
  erase?: number;
  /** What lies outside of the image: a value 0 … 255, its border repeated, or its mirror image. Default `edge`. */
  fill?: number | 'edge' | 'reflect';
}

const KNOWN = ['shift', 'rotate', 'scale', 'flip', 'crop', 'elastic', 'brightness', 'contrast', 'erase', 'fill'];

/** @throws OptionError for unknown options and values out of range. */
export function checkAugment(options: AugmentOptions, height: number, width: number): void {
  checkOptions('augment', options, KNOWN);
  const number = (name: string, value: unknown, most: number, below = false): void => {
    if (value === undefined) return;
    if (!(typeof value === 'number' && value >= 0 && (below ? value < most : value <= most))) {
      throw new OptionError(
        `augment: ${name} must be at least 0 and ${below ? 'less than' : 'at most'} ${most}, got ${String(value)}`,
      );
    }
  };
  const side = Math.min(height, width);
  number('shift', options.shift, side);
  number('rotate', options.rotate, 180);
  number('scale', options.scale, 1, true);
  number('crop', options.crop, side);
  if (!Number.isInteger(options.crop ?? 0))
    throw new OptionError(`augment: crop counts whole pixels, got ${options.crop}`);
  number('brightness', options.brightness, 1);
  number('contrast', options.contrast, 1);
  number('erase', options.erase, 1);
  if (options.flip !== undefined && typeof options.flip !== 'boolean') {
    throw new OptionError(`augment: flip must be true or false, got ${String(options.flip)}`);
  }
  if (options.elastic !== undefined) {
    checkOptions('augment: elastic', options.elastic, ['alpha', 'sigma']);
    number('elastic.alpha', options.elastic.alpha ?? Number.NaN, 1e6);
    if (!(options.elastic.sigma > 0 && options.elastic.sigma <= side)) {
      throw new OptionError(`augment: elastic.sigma must be above 0 and at most ${side}, got ${options.elastic.sigma}`);
    }
  }
  if (options.fill !== 'edge' && options.fill !== 'reflect') number('fill', options.fill, 255);
}

/** What `Augmenter` needs to know about the images. */
export interface AugmentFormat extends ChannelStatistics {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Augments and normalises single images. Keeps scratch memory, so it allocates nothing per image that stays. */
export class Augmenter {
  readonly #options: AugmentOptions;
  readonly #format: AugmentFormat;
  readonly #elastic: ElasticField | undefined;
  /** Whether whole-pixel copies suffice. */
  readonly #wholePixels: boolean;

  constructor(options: AugmentOptions, format: AugmentFormat) {
    checkAugment(options, format.height, format.width);
    this.#options = options;
    this.#format = format;
    const { elastic } = options;
    this.#elastic =
      elastic && elastic.alpha > 0 ? new ElasticField(format.height, format.width, elastic.sigma) : undefined;
    this.#wholePixels = !(options.shift || options.rotate || options.scale || this.#elastic);
  }

  /**
   * Writes one augmented, normalised image.
   *
   * @param images bytes [.., channels, height, width]; the image begins at `from`.
   * @param key decides all random choices.
   * @param out floats; the image begins at `to`.
   */
  apply(images: Uint8Array, from: number, key: RandomKey, out: Float32Array, to: number): void {
    const random = new Random(key);
    // Every draw happens for every image, so that one option's value does not change what another one draws.
    const o = this.#options;
    const { height, width } = this.#format;
    const draw = (range: number | undefined): number => (2 * random.uniform() - 1) * (range ?? 0);
    const angle = (draw(o.rotate) * Math.PI) / 180;
    const scale = 1 + draw(o.scale);
    const shiftX = draw(o.shift);
    const shiftY = draw(o.shift);
    const mirror = random.uniform() < 0.5 && o.flip === true;
    const crop = o.crop ?? 0;
    const cropX = random.integer(2 * crop + 1) - crop;
    const cropY = random.integer(2 * crop + 1) - crop;
    const brightness = 1 + draw(o.brightness);
    const contrast = 1 + draw(o.contrast);
    const eraseX = random.integer(width);
    const eraseY = random.integer(height);

    // Output pixel (x, y) shows source position centre + A·((x, y) − centre − shift) + crop offset: the inverse of the motion.
    const cos = Math.cos(angle) / scale;
    const sin = Math.sin(angle) / scale;
    const centreX = (width - 1) / 2;
    const centreY = (height - 1) / 2;
    const sign = mirror ? -1 : 1;
    // Mirrored last: the output column counts from the other side.
    const xx = cos * sign;
    const yx = -sin * sign;
    const originX = centreX + cropX - cos * (sign * centreX + shiftX) - sin * (centreY + shiftY);
    const originY = centreY + cropY + sin * (sign * centreX + shiftX) - cos * (centreY + shiftY);
    if (this.#wholePixels) {
      this.#copy(images, from, mirror ? width - 1 + cropX : cropX, sign, cropY, out, to);
    } else {
      this.#elastic?.draw(random, o.elastic!.alpha);
      this.#sample(images, from, [originX, xx, sin, originY, yx, cos], out, to);
    }
    this.#finish(out, to, brightness, contrast, o.erase ? [eraseX, eraseY] : undefined);
  }

  /** Row and column of a pixel outside of the image, or −1 for the fill value. */
  #inside(i: number, size: number): number {
    if (i >= 0 && i < size) return i;
    const fill = this.#options.fill ?? 'edge';
    if (fill === 'edge') return i < 0 ? 0 : size - 1;
    if (fill !== 'reflect') return -1;
    // … 2 1 [0 1 2 … n−1] n−2 …, as PyTorch's `reflect`, as often as needed.
    if (size === 1) return 0;
    const period = 2 * (size - 1);
    const j = ((i % period) + period) % period;
    return j < size ? j : period - j;
  }

  get #outside(): number {
    return typeof this.#options.fill === 'number' ? this.#options.fill : 0;
  }

  #copy(
    images: Uint8Array,
    from: number,
    startX: number,
    stepX: number,
    startY: number,
    out: Float32Array,
    to: number,
  ): void {
    const { channels, height, width } = this.#format;
    const fill = this.#outside;
    for (let y = 0; y < height; y++) {
      const row = this.#inside(y + startY, height);
      for (let x = 0; x < width; x++) {
        const column = this.#inside(startX + stepX * x, width);
        for (let c = 0; c < channels; c++) {
          out[to + (c * height + y) * width + x] =
            row < 0 || column < 0 ? fill : images[from + (c * height + row) * width + column];
        }
      }
    }
  }

  /** Source position of output (x, y): (a + b·x + c·y, d + e·x + f·y) plus the elastic displacement. */
  #sample(
    images: Uint8Array,
    from: number,
    [a, b, c, d, e, f]: readonly [number, number, number, number, number, number],
    out: Float32Array,
    to: number,
  ): void {
    const { channels, height, width } = this.#format;
    const plane = height * width;
    const elastic = this.#elastic;
    const fill = this.#outside;
    for (let y = 0, p = 0; y < height; y++) {
      for (let x = 0; x < width; x++, p++) {
        let u = a + b * x + c * y;
        let v = d + e * x + f * y;
        if (elastic) {
          u += elastic.x[p];
          v += elastic.y[p];
        }
        const column = Math.floor(u);
        const row = Math.floor(v);
        const right = u - column;
        const below = v - row;
        if (column >= 0 && row >= 0 && column + 1 < width && row + 1 < height) {
          for (let k = 0, q = from + row * width + column; k < channels; k++, q += plane) {
            const top = images[q] + right * (images[q + 1] - images[q]);
            const bottom = images[q + width] + right * (images[q + width + 1] - images[q + width]);
            out[to + k * plane + p] = top + below * (bottom - top);
          }
          continue;
        }
        const x0 = this.#inside(column, width);
        const x1 = this.#inside(column + 1, width);
        const y0 = this.#inside(row, height);
        const y1 = this.#inside(row + 1, height);
        for (let k = 0; k < channels; k++) {
          const base = from + k * plane;
          const topLeft = x0 < 0 || y0 < 0 ? fill : images[base + y0 * width + x0];
          const topRight = x1 < 0 || y0 < 0 ? fill : images[base + y0 * width + x1];
          const bottomLeft = x0 < 0 || y1 < 0 ? fill : images[base + y1 * width + x0];
          const bottomRight = x1 < 0 || y1 < 0 ? fill : images[base + y1 * width + x1];
          const top = topLeft + right * (topRight - topLeft);
          const bottom = bottomLeft + right * (bottomRight - bottomLeft);
          out[to + k * plane + p] = top + below * (bottom - top);
        }
      }
    }
  }

  /** Brightness, contrast, normalisation and cutout, in place. */
  #finish(
    out: Float32Array,
    to: number,
    brightness: number,
    contrast: number,
    erase?: readonly [number, number],
  ): void {
    const { channels, height, width, mean, std } = this.#format;
    const plane = height * width;
    const size = channels * plane;
    if (this.#options.brightness || this.#options.contrast) {
      let sum = 0;
      for (let i = to; i < to + size; i++) sum += out[i];
      const centre = (brightness * sum) / size;
      for (let i = to; i < to + size; i++) {
        const value = centre + contrast * (brightness * out[i] - centre);
        out[i] = Math.min(Math.max(value, 0), 255);
      }
    }
    for (let c = 0, i = to; c < channels; c++) {
      for (const end = i + plane; i < end; i++) out[i] = (out[i] / 255 - mean[c]) / std[c];
    }
    if (!erase) return;
    const side = Math.max(1, Math.round((this.#options.erase ?? 0) * Math.min(height, width)));
    const left = erase[0] - (side >> 1);
    const top = erase[1] - (side >> 1);
    for (let c = 0; c < channels; c++) {
      for (let y = Math.max(0, top); y < Math.min(height, top + side); y++) {
        const row = to + (c * height + y) * width;
        out.fill(0, row + Math.max(0, left), row + Math.min(width, left + side)); // 0 is the mean
      }
    }
  }
}
