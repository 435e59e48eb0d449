import type { TypedArray } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Lengths } from './ctc.js';

/** Options of {@link ctcGreedyDecode}. */
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
  const { data, batch, classes, blank, steps } = sequences('ctcGreedyDecode', scores, options);
  return steps.map((count, n) => {
    const found: number[] = [];
    for (let t = 0, before = blank; t < count; t++) {
      const from = (t * batch + n) * classes;
      let best = 0;
      for (let c = 1; c < classes; c++) if (data[from + c] > data[from + best]) best = c;
      if (best !== blank && best !== before) found.push(best);
      before = best;
    }
    return found;
  });
}

/** Options of {@link ctcBeamSearch}. */
export interface CtcBeamOptions extends CtcDecodeOptions {
  /** How many beginnings are followed at every step; default 16. */
  readonly beamWidth?: number;
  /** How many readings of each sample are returned, the best first; default 1. */
  readonly top?: number;
}

/** What a sequence may read as. */
export interface CtcReading {
  readonly classes: readonly number[];
  /** Of all ways to read this that were followed. */
  readonly logProbability: number;
}

/** A beginning of a reading: the logarithms of the probabilities that it has been read so far, with a blank last and without. */
interface Beginning {
  readonly classes: readonly number[];
  blank: number;
  other: number;
}

/**
 * The most probable readings of sequences, each with all its ways added up: prefix beam search (Graves and Jaitly, 2014,
 * "Towards end-to-end speech recognition with recurrent neural networks", algorithm 1, without a language model).
 *
 * @param logProbabilities [time, batch, classes], with data
 * @returns `top` readings, or as many as there are, of each sample
 */
export function ctcBeamSearch(logProbabilities: Tensor, options: CtcBeamOptions = {}): CtcReading[][] {
  const name = 'ctcBeamSearch';
  const { beamWidth = 16, top = 1, ...rest } = options;
  for (const [option, value] of Object.entries({ beamWidth, top })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new OptionError(`${name}: ${option} must be a whole number of at least 1, got ${value}`);
    }
  }
  const { data, batch, classes, blank, steps } = sequences(name, logProbabilities, rest);
  return steps.map((count, n) => {
    let beam: Beginning[] = [{ classes: [], blank: 0, other: Number.NEGATIVE_INFINITY }];
    for (let t = 0; t < count; t++) {
      const from = (t * batch + n) * classes;
      beam = best(extend(beam, data.subarray(from, from + classes), blank), beamWidth);
    }
    return best(beam, top).map((b) => ({ classes: b.classes, logProbability: total(b) }));
  });
}

/** All beginnings one step later. */
function extend(beam: readonly Beginning[], logp: TypedArray, blank: number): Beginning[] {
  const later = new Map<string, Beginning>();
  const entry = (classes: readonly number[]): Beginning => {
    const key = classes.join();
    let found = later.get(key);
    if (found === undefined) {
      found = { classes, blank: Number.NEGATIVE_INFINITY, other: Number.NEGATIVE_INFINITY };
      later.set(key, found);
    }
    return found;
  };
  for (const beginning of beam) {
    const { classes, other } = beginning;
    const all = total(beginning);
    const same = entry(classes);
    same.blank = logAddExp(same.blank, all + logp[blank]);
    const last = classes[classes.length - 1];
    if (last !== undefined) same.other = logAddExp(same.other, other + logp[last]);
    for (let c = 0; c < logp.length; c++) {
      if (c === blank) continue;
      // A class that is read twice needs a blank between.
      const before = c === last ? beginning.blank : all;
      if (before === Number.NEGATIVE_INFINITY) continue;
      const longer = entry([...classes, c]);
      longer.other = logAddExp(longer.other, before + logp[c]);
    }
  }
  return [...later.values()];
}

function best(beam: Beginning[], count: number): Beginning[] {
  return beam.sort((a, b) => total(b) - total(a)).slice(0, count);
}

function total({ blank, other }: Beginning): number {
  return logAddExp(blank, other);
}

function logAddExp(a: number, b: number): number {
  const largest = Math.max(a, b);
  return largest === Number.NEGATIVE_INFINITY ? largest : largest + Math.log1p(Math.exp(-Math.abs(a - b)));
}

interface Sequences {
  readonly data: TypedArray;
  readonly time: number;
  readonly batch: number;
  readonly classes: number;
  readonly blank: number;
  /** Of each sample. */
  readonly steps: readonly number[];
}

function sequences(name: string, scores: Tensor, options: CtcDecodeOptions): Sequences {
  checkOptions(name, options, ['blank', 'inputLengths']);
  const { blank = 0, inputLengths } = options;
  if (scores.rank !== 3) {
    throw new ShapeError(`${name}: needs [time, batch, classes], got ${formatShape(scores.shape)}`);
  }
  const [time, batch, classes] = scores.shape;
  if (!(Number.isInteger(blank) && blank >= 0 && blank < classes)) {
    throw new OptionError(`${name}: blank must be one of the ${classes} classes, 0 … ${classes - 1}, got ${blank}`);
  }
  const given = inputLengths instanceof Tensor ? [...inputLengths.data()] : inputLengths;
  const steps = given ?? new Array<number>(batch).fill(time);
  if (steps.length !== batch) {
    throw new ShapeError(`${name}: inputLengths must be ${batch} numbers, one for each sample, got ${steps.length}`);
  }
  const wrong = steps.find((count) => !(Number.isInteger(count) && count >= 0 && count <= time));
  if (wrong !== undefined) {
    throw new OptionError(`${name}: inputLengths must lie between 0 and ${time}, got ${wrong}`);
  }
  return { data: scores.data(), time, batch, classes, blank, steps };
}
