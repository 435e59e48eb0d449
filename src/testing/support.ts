import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { LayerConfig } from '../nn/config.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertClose, type FixtureArray } from './fixtures.js';
import type { Rounded } from './rounding.js';

export type Direction = 'forward' | 'gradients';

/** What a test shows, but for the target: an operator or layer, in one rank, with some options. */
export interface Subject {
  readonly operator: string;
  /** spatial axes; undefined where that means nothing */
  readonly rank?: number;
  readonly options: readonly string[];
}

/** One cell of `docs/support.md`: the largest error that tests saw. */
export interface Proof {
  readonly operator: string;
  readonly rank: number | null;
  readonly option: string;
  readonly direction: Direction;
  readonly target: string;
  /** relative to the bound of `rounding.ts` */
  readonly error: number;
}

const proofs = new Map<string, Proof>();

/** Where test processes leave what they proved, one file each; `scripts/test.mjs` collects them. */
const folder = process.env.GABOR_SUPPORT;
if (folder !== undefined) {
  process.on('exit', () => {
    if (proofs.size > 0) writeFileSync(`${folder}/${process.pid}.json`, JSON.stringify([...proofs.values()]));
  });
}

/** Notes an error, relative to its bound, for every option of the subject. */
export function recordProof(subject: Subject, direction: Direction, target: string, error: number): void {
  for (const option of subject.options) {
    const proof: Proof = {
      operator: subject.operator,
      rank: subject.rank ?? null,
      option,
      direction,
      target,
      error,
    };
    const key = JSON.stringify({ ...proof, error: 0 });
    const before = proofs.get(key);
    if (before === undefined || before.error < error) proofs.set(key, proof);
  }
}

export interface ProofContext {
  readonly subject: Subject;
  /** of a test device */
  readonly device: { readonly name: string; readonly tolerance: number };
}

/**
 * Asserts that `actual` is close to what was expected, also by the error analysis of `bounds`, and notes how close.
 */
export function assertProven(
  actual: Tensor,
  expected: FixtureArray,
  { bounds }: Pick<Rounded, 'bounds'>,
  { subject, device }: ProofContext,
  direction: Direction,
  what: string,
): void {
  assertClose(actual, expected, device.tolerance, what);
  const error = relativeError(actual.data(), expected.data, bounds);
  recordProof(subject, direction, device.name, error);
  assert.ok(error <= 1, `${what}: the error is ${error} times the bound of the error analysis`);
}

/** The largest |actual − expected| / bound; exact results have the error 0 whatever the bound. */
export function relativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bounds: ArrayLike<number>,
): number {
  assert.equal(bounds.length, expected.length, 'one bound for each element');
  let most = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (difference === 0 || Object.is(actual[i], expected[i])) continue;
    const error = difference / bounds[i];
    most = Math.max(most, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
  }
  return most;
}

/** Arguments that say how large a layer is, not what it does. */
const SIZES: ReadonlySet<string> = new Set([
  'type',
  'inChannels',
  'outChannels',
  'numFeatures',
  'numChannels',
  'inFeatures',
  'outFeatures',
  'numEmbeddings',
  'embeddingDim',
  'inputSize',
  'hiddenSize',
  'names',
  'layers',
  'branches',
  'body',
]);

/** Layers that differ in training. */
const MODAL = /^(Lazy)?(BatchNorm|InstanceNorm|Dropout)/;
/** Layers of any rank whose results depend on it. */
const OF_ANY_RANK = /^(Upsample|GroupNorm|LocalResponseNorm)$/;

/** The name, rank and options of a layer as `docs/support.md` lists them. */
export function layerSubject(config: LayerConfig, input: Shape, train: boolean): Subject {
  const named = /^(.*)([123])d$/.exec(config.type);
  const operator = named ? named[1] : config.type;
  const rank = named ? Number(named[2]) : OF_ANY_RANK.test(config.type) ? Math.max(0, input.length - 2) : undefined;
  const options = optionNames(config);
  if (MODAL.test(operator)) options.push(train ? 'training' : 'in use');
  return { operator, ...(rank === undefined || rank === 0 ? {} : { rank }), options };
}

/** The options of a configuration by name, words and switches with their value. */
export function optionNames(config: Readonly<Record<string, unknown>>): string[] {
  const names: string[] = [];
  for (const [key, value] of Object.entries(config)) {
    if (SIZES.has(key) || key === 'groups') continue;
    if ((key === 'stride' || key === 'dilation') && value === 1) continue;
    if (typeof value === 'string' || typeof value === 'boolean') names.push(`${key}: ${JSON.stringify(value)}`);
    else if (key === 'padding' && String(config.type).includes('Conv') && Array.isArray(value)) {
      names.push(Array.isArray(value[0]) ? 'padding per side' : 'padding per axis');
    } else if (key === 'kernelSize') {
      if (Array.isArray(value) && new Set(value).size > 1) names.push('kernelSize per axis');
    } else if (key === 'stride' && Array.isArray(value) && new Set(value).size > 1) names.push('stride per axis');
    else if (key === 'dilation' && Array.isArray(value) && new Set(value).size > 1) names.push('dilation per axis');
    else if (key === 'outputSize' || key === 'size' || key === 'scaleFactor') {
      names.push(Array.isArray(value) && value.length > 1 ? `${key} per axis` : key);
    } else if (key === 'normType' || key === 'momentum') names.push(`${key}: ${JSON.stringify(value)}`);
    else names.push(key);
  }
  const { groups, inChannels } = config;
  if (typeof groups === 'number' && groups > 1) names.push(groups === inChannels ? 'groups = inChannels' : 'groups');
  if (isAbove(config.stride) && isAbove(config.dilation)) names.push('stride × dilation');
  if (names.length === 0) names.push('defaults');
  return names;
}

function isAbove(value: unknown): boolean {
  return Array.isArray(value) ? value.some((n) => n > 1) : typeof value === 'number' && value > 1;
}
