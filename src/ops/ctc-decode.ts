import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Lengths } from './ctc.js';

export interface CtcDecodeOptions {
  /** The class that stands for "nothing"; default 0. */
  readonly blank?: number;
  /** How many steps of each sample count; default all. */
  readonly inputLengths?: Lengths;
}

/**
 * Reads sequences as connectionist temporal classification means them: the most probable class of every step, repetitions once, without
 * blanks (best path decoding; Graves et al., 2006, section 3.2).
 *
 * @param scores [time, batch, classes]: logits, probabilities or their logarithms, with data
 * @returns the classes of each sample
 */
export function ctcGreedyDecode(scores: Tensor, options: CtcDecodeOptions = {}): number[][] {
  const name = 'ctcGreedyDecode';
  checkOptions(name, options, ['blank', 'inputLengths']);
  const { blank = 0, inputLengths } = options;
  if (scores.rank !== 3) {
    throw new ShapeError(`${name}: scores must be [time, batch, classes], got ${formatShape(scores.shape)}`);
  }
  const [time, batch, classes] = scores.shape;
  if (!(Number.isInteger(blank) && blank >= 0 && blank < classes)) {
    throw new OptionError(`${name}: blank must be one of the ${classes} classes, 0 … ${classes - 1}, got ${blank}`);
  }
  const steps = inputLengths instanceof Tensor ? inputLengths.data() : inputLengths;
  if (steps !== undefined && steps.length !== batch) {
    throw new ShapeError(`${name}: inputLengths must be ${batch} numbers, one for each sample, got ${steps.length}`);
  }
  const data = scores.data();
  return Array.from({ length: batch }, (_, n) => {
    const count = steps?.[n] ?? time;
    if (!(Number.isInteger(count) && count >= 0 && count <= time)) {
      throw new OptionError(`${name}: inputLengths must lie between 0 and ${time}, got ${count}`);
    }
    const classesFound: number[] = [];
    for (let t = 0, before = blank; t < count; t++) {
      const from = (t * batch + n) * classes;
      let best = 0;
      for (let c = 1; c < classes; c++) if (data[from + c] > data[from + best]) best = c;
      if (best !== blank && best !== before) classesFound.push(best);
      before = best;
    }
    return classesFound;
  });
}
