import { defaultRandom } from '../nn/init.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { type Shape, sizeOf } from '../tensor/shape.js';

/**
 * Makes initial weights of a shape in Keras's layout, row-major. Without a seed the numbers come from the generator that
 * `manualSeed` resets.
 */
export interface Initializer {
  readonly className: string;
  /** Options in Keras's words, for files; undefined where Keras has no such initializer. */
  readonly config?: Readonly<Record<string, number | string | null>>;
  /** Elements for a tensor of this shape. */
  values(shape: Shape): Float32Array;
}

export interface SeedOption {
  /** default: the generator that `manualSeed` resets */
  readonly seed?: number;
}

export interface VarianceScalingOptions extends SeedOption {
  /** default 1 */
  readonly scale?: number;
  /** default `fanIn` */
  readonly mode?: 'fanIn' | 'fanOut' | 'fanAvg';
  /** `normal` is cut off at two standard deviations, as in Keras; default `normal` */
  readonly distribution?: 'normal' | 'uniform';
}

/** Inputs and outputs of a weight in Keras's layout […kernel, in, out]. */
function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2) return { fanIn: Math.sqrt(sizeOf(shape)), fanOut: Math.sqrt(sizeOf(shape)) };
  const taps = sizeOf(shape.slice(0, -2));
  return { fanIn: taps * shape[shape.length - 2], fanOut: taps * shape[shape.length - 1] };
}

function random(options: SeedOption): Random {
  return options.seed === undefined ? defaultRandom() : new Random(options.seed);
}

function fill(shape: Shape, next: () => number): Float32Array {
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = next();
  return data;
}

/** Normal without what lies further than two standard deviations out. */
function truncated(source: Random, mean: number, deviation: number): number {
  for (;;) {
    const z = source.normal();
    if (Math.abs(z) <= 2) return mean + deviation * z;
  }
}

export function zeros(): Initializer {
  return { ...constant({ value: 0 }), className: 'Zeros', config: {} };
}

export function ones(): Initializer {
  return { ...constant({ value: 1 }), className: 'Ones', config: {} };
}

export function constant(options: { readonly value: number }): Initializer {
  checkOptions('initializers.constant', options, ['value']);
  const { value } = options;
  return { className: 'Constant', config: { value }, values: (shape) => fill(shape, () => value) };
}

/** Uniform in [minval, maxval); defaults −0.05 and 0.05. */
export function randomUniform(
  options: SeedOption & { readonly minval?: number; readonly maxval?: number } = {},
): Initializer {
  checkOptions('initializers.randomUniform', options, ['minval', 'maxval', 'seed']);
  const { minval = -0.05, maxval = 0.05 } = options;
  return {
    className: 'RandomUniform',
    config: { minval, maxval, seed: options.seed ?? null },
    values(shape) {
      const source = random(options);
      return fill(shape, () => source.uniform(minval, maxval));
    },
  };
}

/** Normal; defaults mean 0, standard deviation 0.05. */
export function randomNormal(
  options: SeedOption & { readonly mean?: number; readonly stddev?: number } = {},
): Initializer {
  checkOptions('initializers.randomNormal', options, ['mean', 'stddev', 'seed']);
  const { mean = 0, stddev = 0.05 } = options;
  return {
    className: 'RandomNormal',
    config: { mean, stddev, seed: options.seed ?? null },
    values(shape) {
      const source = random(options);
      return fill(shape, () => source.normal(mean, stddev));
    },
  };
}

/** {@link randomNormal} cut off at two standard deviations. */
export function truncatedNormal(
  options: SeedOption & { readonly mean?: number; readonly stddev?: number } = {},
): Initializer {
  checkOptions('initializers.truncatedNormal', options, ['mean', 'stddev', 'seed']);
  const { mean = 0, stddev = 0.05 } = options;
  return {
    className: 'TruncatedNormal',
    config: { mean, stddev, seed: options.seed ?? null },
    values(shape) {
      const source = random(options);
      return fill(shape, () => truncated(source, mean, stddev));
    },
  };
}

/** Keras's names. */
const FANS = { fanIn: 'fan_in', fanOut: 'fan_out', fanAvg: 'fan_avg' } as const;
const DISTRIBUTIONS = { normal: 'truncated_normal', uniform: 'uniform' } as const;

/** Variance `scale` / fan, see Glorot and Bengio, 2010, and He et al., 2015. */
export function varianceScaling(options: VarianceScalingOptions = {}): Initializer {
  checkOptions('initializers.varianceScaling', options, ['scale', 'mode', 'distribution', 'seed']);
  const { scale = 1, mode = 'fanIn', distribution = 'normal' } = options;
  if (!(scale > 0)) throw new OptionError(`initializers.varianceScaling: scale must be > 0, got ${scale}`);
  if (!['fanIn', 'fanOut', 'fanAvg'].includes(mode)) {
    throw new OptionError(
      `initializers.varianceScaling: mode must be "fanIn", "fanOut" or "fanAvg", got ${JSON.stringify(mode)}`,
    );
  }
  if (distribution !== 'normal' && distribution !== 'uniform') {
    throw new OptionError(
      `initializers.varianceScaling: distribution must be "normal" or "uniform", got ${JSON.stringify(distribution)}`,
    );
  }
  return {
    className: 'VarianceScaling',
    config: { scale, mode: FANS[mode], distribution: DISTRIBUTIONS[distribution], seed: options.seed ?? null },
    values(shape) {
      const source = random(options);
      const { fanIn, fanOut } = fans(shape);
      const fan = mode === 'fanIn' ? fanIn : mode === 'fanOut' ? fanOut : (fanIn + fanOut) / 2;
      const variance = scale / Math.max(1, fan);
      if (distribution === 'uniform') {
        const limit = Math.sqrt(3 * variance);
        return fill(shape, () => source.uniform(-limit, limit));
      }
      // The deviation of a standard normal cut off at ±2.
      const deviation = Math.sqrt(variance) / 0.8796256610342398;
      return fill(shape, () => truncated(source, 0, deviation));
    },
  };
}

/**
 * Rows or columns, whichever are fewer, of length one and at right angles (Saxe, McClelland and Ganguli, 2014): the default of recurrent
 * kernels. All axes but the last count as rows.
 */
export function orthogonal(options: SeedOption & { readonly gain?: number } = {}): Initializer {
  checkOptions('initializers.orthogonal', options, ['gain', 'seed']);
  const { gain = 1 } = options;
  return {
    className: 'Orthogonal',
    config: { gain, seed: options.seed ?? null },
    values(shape) {
      if (shape.length < 2) throw new OptionError('initializers.orthogonal: needs a shape of two axes or more');
      const source = random(options);
      const columns = shape[shape.length - 1];
      const rows = sizeOf(shape) / columns;
      const [few, many] = [Math.min(rows, columns), Math.max(rows, columns)];
      const basis: Float64Array[] = [];
      for (let i = 0; i < few; i++) {
        const vector = Float64Array.from({ length: many }, () => source.normal());
        // Twice, so that rounding does not leave an angle.
        for (const other of [...basis, ...basis]) {
          const along = vector.reduce((sum, x, j) => sum + x * other[j], 0);
          for (let j = 0; j < many; j++) vector[j] -= along * other[j];
        }
        const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
        basis.push(vector.map((x) => x / length));
      }
      return Float32Array.from({ length: rows * columns }, (_, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        return gain * (rows < columns ? basis[row][column] : basis[column][row]);
      });
    },
  };
}

type Scaled = (options?: SeedOption) => Initializer;

const scaled =
  (className: string, scale: number, mode: 'fanIn' | 'fanAvg', distribution: 'normal' | 'uniform'): Scaled =>
  (options = {}) => {
    checkOptions(`initializers.${className}`, options, ['seed']);
    const kerasName = className[0].toUpperCase() + className.slice(1);
    const config = { seed: options.seed ?? null };
    return { ...varianceScaling({ scale, mode, distribution, ...options }), className: kerasName, config };
  };

/** Uniform within ±√(6 / (fan in + fan out)): the default of kernels. */
export const glorotUniform: Scaled = scaled('glorotUniform', 1, 'fanAvg', 'uniform');
export const glorotNormal: Scaled = scaled('glorotNormal', 1, 'fanAvg', 'normal');
export const heUniform: Scaled = scaled('heUniform', 2, 'fanIn', 'uniform');
export const heNormal: Scaled = scaled('heNormal', 2, 'fanIn', 'normal');
export const leCunUniform: Scaled = scaled('leCunUniform', 1, 'fanIn', 'uniform');
export const leCunNormal: Scaled = scaled('leCunNormal', 1, 'fanIn', 'normal');

/** Initializers without options, by name. */
export type InitializerName =
  | 'zeros'
  | 'ones'
  | 'randomUniform'
  | 'randomNormal'
  | 'truncatedNormal'
  | 'varianceScaling'
  | 'glorotUniform'
  | 'glorotNormal'
  | 'heUniform'
  | 'heNormal'
  | 'leCunUniform'
  | 'leCunNormal'
  | 'orthogonal';

const NAMED: Readonly<Record<InitializerName, () => Initializer>> = {
  zeros,
  ones,
  randomUniform: () => randomUniform(),
  randomNormal: () => randomNormal(),
  truncatedNormal: () => truncatedNormal(),
  varianceScaling: () => varianceScaling(),
  glorotUniform: () => glorotUniform(),
  glorotNormal: () => glorotNormal(),
  heUniform: () => heUniform(),
  heNormal: () => heNormal(),
  leCunUniform: () => leCunUniform(),
  leCunNormal: () => leCunNormal(),
  orthogonal: () => orthogonal(),
};

/** `initializer` itself, or the one of this name with its defaults. */
export function getInitializer(where: string, initializer: InitializerName | Initializer): Initializer {
  if (typeof initializer === 'object' && typeof initializer?.values === 'function') return initializer;
  if (typeof initializer === 'string' && Object.hasOwn(NAMED, initializer)) return NAMED[initializer]();
  throw new OptionError(
    `${where}: must be an initializer or one of ${Object.keys(NAMED).join(', ')}, got ${JSON.stringify(initializer)}`,
  );
}
