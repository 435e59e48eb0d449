import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import { checkCount } from './dataset.js';

/** Mixtures of training samples of which every one has one class; targets become shares of the classes. */
export interface MixOptions {
  /**
   * Every sample becomes λ of itself and 1 − λ of another one, with λ from Beta(α, α) for each batch; this is α, for example 0.2
   * (Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018). Default 0: none.
   */
  mixup?: number;
  /**
   * Every image gets a rectangle of another one, on average as large as 1 − λ of it, with λ from Beta(α, α) for each batch; this is α, for
   * example 1 (Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", ICCV 2019). Default
   * 0: none. With both, every batch has one of them, each half of the time.
   */
  cutmix?: number;
  /** Number of classes. */
  classes: number;
}

/** {@link MixOptions} with every default filled in; plain data. */
export type MixPlan = Readonly<Required<MixOptions>>;

/** @throws OptionError for values out of range and labels that are no classes, ShapeError for samples that cannot be mixed. */
export function planMix(
  options: MixOptions,
  inputShape: Shape,
  targetShape: Shape,
  targets: ArrayLike<number>,
): MixPlan | undefined {
  checkOptions('mix', options, ['mixup', 'cutmix', 'classes']);
  const { mixup = 0, cutmix = 0 } = options;
  for (const [name, value] of Object.entries({ mixup, cutmix })) {
    if (!(typeof value === 'number' && value >= 0 && value < Infinity)) {
      throw new OptionError(`${name} must be a number of at least 0, the α of Beta(α, α), got ${value}`);
    }
  }
  if (mixup === 0 && cutmix === 0) return undefined;
  const classes = checkCount('mix: classes', options.classes, 1);
  if (targetShape.length > 0 || targets instanceof Float32Array) {
    throw new ShapeError(
      `mixup and cutmix are for samples with one class each; these have targets of shape ${formatShape(targetShape)}${targets instanceof Float32Array ? ' that are floats' : ''}`,
    );
  }
  if (cutmix > 0 && inputShape.length !== 3) {
    throw new ShapeError(
      `cutmix is for images, [channels, height, width]; these samples are ${formatShape(inputShape)}. mixup is for all shapes`,
    );
  }
  for (let i = 0; i < targets.length; i++) {
    if (targets[i] < 0 || targets[i] >= classes) {
      throw new OptionError(
        `mixup and cutmix: sample ${i} has the label ${targets[i]}, but there are ${classes} classes`,
      );
    }
  }
  return { mixup, cutmix, classes };
}

/**
 * Mixes each sample of a batch with the one after it (the last one with the first), in place.
 *
 * @param x [count, …inputShape], normalised.
 * @param labels of the samples.
 * @param y [count, classes]: shares of the classes, written.
 */
export function mixBatch(
  { mixup, cutmix, classes }: MixPlan,
  random: Random,
  inputShape: Shape,
  x: Float32Array,
  labels: ArrayLike<number>,
  y: Float32Array,
): void {
  const count = labels.length;
  const size = x.length / count;
  const cut = cutmix > 0 && (mixup === 0 || random.uniform() < 0.5);
  const share = beta(random, cut ? cutmix : mixup);
  const first = x.slice(0, size);
  const next = (i: number): Float32Array => (i + 1 < count ? x.subarray((i + 1) * size, (i + 2) * size) : first);
  let own = share;
  if (cut) {
    const [, height, width] = inputShape;
    const box = rectangle(random, height, width, share);
    own = 1 - ((box.bottom - box.top) * (box.right - box.left)) / (height * width);
    for (let i = 0; i < count; i++) paste(x.subarray(i * size, (i + 1) * size), next(i), inputShape, box);
  } else {
    for (let i = 0; i < count; i++) {
      const other = next(i);
      for (let p = 0, at = i * size; p < size; p++, at++) x[at] = own * x[at] + (1 - own) * other[p];
    }
  }
  y.fill(0, 0, count * classes);
  for (let i = 0; i < count; i++) {
    y[i * classes + labels[i]] += own;
    y[i * classes + labels[(i + 1) % count]] += 1 - own;
  }
}

interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** Of the image's proportions and 1 − `share` of its area, about a random pixel; what is outside is cut off (section 3.1 of CutMix). */
function rectangle(random: Random, height: number, width: number, share: number): Box {
  const scale = Math.sqrt(1 - share);
  const extent = (size: number): readonly [number, number] => {
    const side = Math.round(size * scale);
    const low = random.integer(size) - (side >> 1);
    return [Math.max(0, low), Math.min(size, low + side)];
  };
  const [top, bottom] = extent(height);
  const [left, right] = extent(width);
  return { top, bottom, left, right };
}

function paste(
  image: Float32Array,
  from: Float32Array,
  [channels, height, width]: Shape,
  { top, bottom, left, right }: Box,
): void {
  for (let c = 0; c < channels; c++) {
    for (let row = top; row < bottom; row++) {
      const at = (c * height + row) * width;
      image.set(from.subarray(at + left, at + right), at + left);
    }
  }
}

/** Of Beta(α, α). */
function beta(random: Random, alpha: number): number {
  const a = gamma(random, alpha);
  const b = gamma(random, alpha);
  // Both are 0 in double precision where α is tiny: then λ is 0 or 1.
  return a + b > 0 ? a / (a + b) : random.integer(2);
}

/** Of Gamma(α, 1): Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. */
function gamma(random: Random, alpha: number): number {
  if (alpha < 1) return gamma(random, alpha + 1) * (1 - random.uniform()) ** (1 / alpha);
  const d = alpha - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const z = random.normal();
    const v = (1 + c * z) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < 0.5 * z * z + d - d * v + d * Math.log(v)) return d * v;
  }
}
