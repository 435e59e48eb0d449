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
