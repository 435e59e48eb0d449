import { OptionError } from '../tensor/errors.js';

/** Class probabilities of one row of logits, in double precision; returns `into`. */
export function softmaxRow(logits: ArrayLike<number>, offset: number, into: Float32Array): Float32Array {
  const classes = into.length;
  let largest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[offset + c]);
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += Math.exp(logits[offset + c] - largest);
  for (let c = 0; c < classes; c++) into[c] = Math.exp(logits[offset + c] - largest) / sum;
  return into;
}

/** Cross-entropy of one row of logits: log Σ exp(logits) − logits[label]. NaN where a logit is. */
export function crossEntropyRow(logits: ArrayLike<number>, offset: number, classes: number, label: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[offset + c]);
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += Math.exp(logits[offset + c] - largest);
  return Math.log(sum) + largest - logits[offset + label];
}

/** Position of the largest of `classes` values from `offset`; the first one where several are equal. */
export function argmaxRow(values: ArrayLike<number>, offset: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (values[offset + c] > values[offset + best]) best = c;
  return best;
}

/** How well one class is told from the others. */
export interface ClassMetrics {
  readonly class: string;
  /** Of the images called this class, the share that is; NaN where none was called so. */
  readonly precision: number;
  /** Of the images of this class, the share that was called so; NaN where there is none. */
  readonly recall: number;
  /** Harmonic mean of precision and recall; 0 where either is 0, NaN where there is no image of the class. */
  readonly f1: number;
  /** Images of this class. */
  readonly count: number;
}

/** Precision and recall of every class from a confusion matrix: row = true class, column = predicted class. */
export function perClassMetrics(classes: readonly string[], confusion: readonly (readonly number[])[]): ClassMetrics[] {
  return classes.map((name, c) => {
    const hits = confusion[c][c];
    const count = confusion[c].reduce((sum, n) => sum + n, 0);
    const called = confusion.reduce((sum, row) => sum + row[c], 0);
    return {
      class: name,
      precision: hits / called,
      recall: hits / count,
      f1: count === 0 ? Number.NaN : (2 * hits) / (count + called),
      count,
    };
  });
}

/** How well the regions of one class are found. */
export interface RegionMetrics {
  readonly class: string;
  /**
   * 2 |A ∩ B| / (|A| + |B|) of the region that is (A) and the one that was found (B): the mean over the samples where either of them is
   * not empty; NaN where there is none.
   */
  readonly dice: number;
  /** |A ∩ B| / |A ∪ B| over all samples together (the convention of PASCAL VOC); NaN where the class is nowhere. */
  readonly iou: number;
  /** Positions of this class. */
  readonly count: number;
}

/** Compares class maps, position by position. */
export class RegionCounter {
  /** Rows: true class, columns: found class; over all samples. */
  readonly confusion: number[][];
  readonly #ignored: number | undefined;
  /** Per class: the sum of the samples' Dice coefficients, and of how many samples. */
  readonly #dice: readonly { total: number; samples: number }[];

  constructor(classes: number, ignored?: number) {
    this.confusion = zeroMatrix(classes);
    this.#ignored = ignored;
    this.#dice = Array.from({ length: classes }, () => ({ total: 0, samples: 0 }));
  }

  /** Of `samples` samples, one behind the other. @throws OptionError for a label that is no class. */
  add(found: ArrayLike<number>, labels: ArrayLike<number>, samples: number): void {
    const classes = this.#dice.length;
    const size = labels.length / samples;
    const counts = new Float64Array(classes * classes);
    for (let sample = 0; sample < samples; sample++) {
      counts.fill(0);
      for (let i = sample * size; i < (sample + 1) * size; i++) {
        const label = labels[i];
        if (label === this.#ignored) continue;
        if (!(label >= 0 && label < classes)) {
          throw new OptionError(`evaluate: there is a label ${label}, but the model tells ${classes} classes apart`);
        }
        counts[label * classes + found[i]]++;
      }
      this.#dice.forEach((dice, c) => {
        let size = 0;
        for (let other = 0; other < classes; other++) {
          this.confusion[c][other] += counts[c * classes + other];
          size += counts[c * classes + other] + counts[other * classes + c];
        }
        if (size === 0) return;
        dice.total += (2 * counts[c * classes + c]) / size;
        dice.samples++;
      });
    }
  }

  metrics(classes: readonly string[]): RegionMetrics[] {
    return this.#dice.map(({ total, samples }, c) => {
      const count = this.confusion[c].reduce((sum, n) => sum + n, 0);
      const called = this.confusion.reduce((sum, row) => sum + row[c], 0);
      const hits = this.confusion[c][c];
      return { class: classes[c], dice: total / samples, iou: hits / (count + called - hits), count };
    });
  }
}

export function zeroMatrix(classes: number): number[][] {
  return Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
}
