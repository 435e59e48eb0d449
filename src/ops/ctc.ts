import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { concat } from './concat.js';
import { full, iota, tensor } from './create.js';
import { ctcStep, IMPOSSIBLE } from './ctc-step.js';
import {
  add,
  cast,
  div,
  equal,
  exp,
  greater,
  greaterEqual,
  less,
  log,
  logicalAnd,
  logicalOr,
  maximum,
  mul,
  neg,
  notEqual,
  stopGradient,
  sub,
  where,
} from './elementwise.js';
import type { Reduction } from './losses.js';
import { max, mean } from './reduce.js';
import { reshape } from './reshape.js';
import { pad, slice } from './slice.js';

/** Options of {@link ctcLoss}. */
export interface CtcOptions {
  /** The class that stands for "nothing"; default 0. */
  readonly blank?: number;
  /** default `mean`: each loss divided by the length of its target (at least 1), then the mean over the batch */
  readonly reduction?: Reduction;
  /** Whether samples whose input is too short for their target count 0 instead of infinity; default false. */
  readonly zeroInfinity?: boolean;
}

/** One number for each sample: i32 [batch]. */
export type Lengths = Tensor | readonly number[];

/**
 * Connectionist temporal classification (Graves et al., 2006), as `torch.nn.functional.ctc_loss`: −log of the probability that a
 * sequence of classes, with repetitions and blanks left out, reads as the target. Lengths are tensors, so that one program
 * serves all of them. The forward recursion over time (section 4.1) is unrolled, in the logarithmic domain (so a program takes the
 * longer to compile the more steps there are); gradients are those of the recursion, of any order. A sample that cannot be read in its time has the loss ∞ (or 0, `zeroInfinity`), and no gradient.
 *
 * @param logProbabilities [time, batch, classes], for example of {@link logSoftmax} over the last axis
 * @param targets i32 [batch, longest], without blanks; what lies behind a target's length does not matter
 * @param inputLengths how many steps of each sample count, at most `time`
 * @param targetLengths how many classes each target has. A class or a length out of range gives NaN.
 * @returns one number, or [batch] with reduction `none`
 */
export function ctcLoss(
  logProbabilities: Tensor,
  targets: Tensor,
  inputLengths: Lengths,
  targetLengths: Lengths,
  options: CtcOptions = {},
): Tensor {
  const name = 'ctcLoss';
  checkOptions(name, options, ['blank', 'reduction', 'zeroInfinity']);
  const { blank = 0, reduction = 'mean', zeroInfinity = false } = options;
  if (!['mean', 'sum', 'none'].includes(reduction)) {
    throw new OptionError(`${name}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
  }
  if (logProbabilities.rank !== 3 || logProbabilities.shape.includes(0)) {
    throw new ShapeError(
      `${name}: logProbabilities must be [time, batch, classes], got ${formatShape(logProbabilities.shape)}`,
    );
  }
  const [time, batch, classes] = logProbabilities.shape;
  if (!(Number.isInteger(blank) && blank >= 0 && blank < classes)) {
    throw new OptionError(`${name}: blank must be one of the ${classes} classes, 0 … ${classes - 1}, got ${blank}`);
  }
  if (targets.rank !== 2 || targets.shape[0] !== batch || targets.dtype !== 'i32') {
    throw new ShapeError(
      `${name}: for ${formatShape(logProbabilities.shape)} targets must be i32[${batch}, longest], got ${formatType(targets.type)}`,
    );
  }
  const steps = lengths(name, 'inputLengths', inputLengths, batch);
  const labels = lengths(name, 'targetLengths', targetLengths, batch);

  const path = withBlanks(targets, blank);
  const scores = finalScores(emissions(logProbabilities, path), path, steps, labels);
  const reachable = greater(scores, IMPOSSIBLE / 2);
  const likelihood = neg(where(reachable, scores, 0));
  const losses = where(
    inRange(targets, labels, steps, [time, classes], blank),
    where(reachable, likelihood, zeroInfinity ? 0 : Number.POSITIVE_INFINITY),
    Number.NaN,
  );
  if (reduction === 'none') return losses;
  if (reduction === 'sum') return sum(losses);
  return mean(div(losses, maximum(cast(labels, losses.dtype), 1)));
}

function lengths(name: string, what: string, value: Lengths, batch: number): Tensor {
  const t = value instanceof Tensor ? value : tensor(value, { dtype: 'i32' });
  if (t.rank !== 1 || t.shape[0] !== batch || t.dtype !== 'i32') {
    throw new ShapeError(`${name}: ${what} must be i32[${batch}], one for each sample, got ${formatType(t.type)}`);
  }
  return t;
}

/** Targets with a blank before, between and behind: i32 [batch, 2 · longest + 1]. */
function withBlanks(targets: Tensor, blank: number): Tensor {
  const [batch, longest] = targets.shape;
  if (longest === 0) return full([batch, 1], blank, 'i32');
  const pairs = concat([full([batch, longest, 1], blank, 'i32'), reshape(targets, [batch, longest, 1])], 2);
  return concat([reshape(pairs, [batch, 2 * longest]), full([batch, 1], blank, 'i32')], 1);
}

/** The logarithm of the probability of each class of the path at each time: [time, batch, path]. */
function emissions(logp: Tensor, path: Tensor): Tensor {
  const [time, batch, classes] = logp.shape;
  const [, states] = path.shape;
  const chosen = equal(reshape(path, [1, batch, states, 1]), iota([classes], 0));
  const scores = sum(where(chosen, reshape(logp, [time, batch, 1, classes]), 0), 3);
  return where(greater(scores, IMPOSSIBLE), scores, IMPOSSIBLE);
}

/** log of the probability of all ways that end behind the last class, for each sample. */
function finalScores(scores: Tensor, path: Tensor, steps: Tensor, labels: Tensor): Tensor {
  const [time, batch, states] = scores.shape;
  const state = iota([1, states], 1);
  const first = reshape(slice(scores, [0, 0, 0], [1, batch, states]), [batch, states]);
  let alpha = where(less(state, 2), first, IMPOSSIBLE);
  const skip = skips(path, alpha);
  // In blocks, so that the gradient of a step has the size of its block.
  for (let from = 0; from < time; from += BLOCK) {
    const rows = Math.min(BLOCK, time - from);
    const block = slice(scores, [from, 0, 0], [rows, batch, states]);
    for (let row = from === 0 ? 1 : 0; row < rows; row++) {
      alpha = ctcStep(alpha, block, skip, steps, { time: from + row, row });
    }
  }
  const end = reshape(mul(labels, 2), [batch, 1]);
  const isEnd = logicalOr(equal(state, end), equal(state, sub(end, 1)));
  const reached = where(isEnd, alpha, IMPOSSIBLE);
  // The largest cancels out, so that gradients need not go through it.
  const largest = stopGradient(max(reached, 1, { keepDims: true }));
  return add(log(sum(exp(sub(reached, largest)), 1)), reshape(largest, [batch]));
}

const BLOCK = 16;

/** 0 where the blank before a state may be left out, which is between two different classes; blanks are equal to each other. */
function skips(path: Tensor, like: Tensor): Tensor {
  const [batch, states] = path.shape;
  if (states < 3) return full([batch, states], IMPOSSIBLE, like.dtype);
  const differs = notEqual(slice(path, [0, 2]), slice(path, [0, 0], [batch, states - 2]));
  const free = where(differs, full([batch, states - 2], 0, like.dtype), IMPOSSIBLE);
  return pad(free, [0, 2], [0, 0], IMPOSSIBLE);
}

/** Whether lengths, and the classes within them, are what they can be: bool [batch]. */
function inRange(targets: Tensor, labels: Tensor, steps: Tensor, [time, classes]: Shape, blank: number): Tensor {
  const [batch, longest] = targets.shape;
  const known = logicalAnd(
    logicalAnd(greaterEqual(labels, 0), less(labels, longest + 1)),
    logicalAnd(greater(steps, 0), less(steps, time + 1)),
  );
  if (longest === 0) return known;
  const within = less(iota([1, longest], 1), reshape(labels, [batch, 1]));
  const strange = logicalOr(logicalOr(less(targets, 0), greaterEqual(targets, classes)), equal(targets, blank));
  return logicalAnd(known, equal(sum(cast(logicalAnd(within, strange), 'i32'), 1), 0));
}
