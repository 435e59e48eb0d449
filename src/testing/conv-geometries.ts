import fc from 'fast-check';
import type { PaddingMode } from '../ops/padding.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor } from './arbitraries.js';

/** One spatial axis of a convolution. */
export interface ConvAxis {
  readonly input: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly pads: readonly [number, number];
}

/** A convolution; channels are per group. */
export interface ConvGeometry {
  readonly batch: number;
  readonly groups: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  readonly axes: readonly ConvAxis[];
}

/** From `special` to `most`, more often than by chance `special`. */
const often = (special: number, most: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant(special) },
    { weight: 3, arbitrary: fc.integer({ min: special, max: most }) },
  );

/** An axis of a convolution that has outputs; the kernel may well be larger than the input. */
const axis = (most: number): fc.Arbitrary<ConvAxis> =>
  fc
    .record({
      input: often(1, most),
      kernel: fc.integer({ min: 1, max: 4 }),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 3 }),
      pads: fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 })),
    })
    .map((a) => {
      const short = Math.max(0, spanOf(a) - a.input - a.pads[0] - a.pads[1]);
      return { ...a, pads: [a.pads[0], a.pads[1] + short] as const };
    });

/** How far the taps of an axis reach. */
const spanOf = (a: ConvAxis): number => a.dilation * (a.kernel - 1) + 1;

/** Dense, grouped and depthwise channels, each with a multiplier or without, as often as each other. */
function channelCounts(most: number): fc.Arbitrary<Pick<ConvGeometry, 'groups' | 'channelsIn' | 'channelsOut'>> {
  const count = fc.integer({ min: 1, max: most });
  const one = fc.constant(1);
  const several = fc.integer({ min: 2, max: 3 });
  const multiple = fc.constantFrom(...[4, 8].filter((n) => n <= most), Math.min(most, 4));
  return fc.oneof(
    fc.record({ groups: one, channelsIn: count, channelsOut: count }),
    fc.record({ groups: one, channelsIn: count, channelsOut: fc.integer({ min: Math.ceil(most / 2), max: most }) }),
    fc.record({ groups: fc.integer({ min: 1, max: 3 }), channelsIn: count, channelsOut: multiple }),
    fc.record({ groups: several, channelsIn: count, channelsOut: count }),
    fc.record({ groups: several, channelsIn: one, channelsOut: one }),
    fc.record({ groups: several, channelsIn: one, channelsOut: count }),
  );
}

/**
 * Convolutions of one to `sizes.length` axes with outputs.
 *
 * @param sizes the largest extent of an axis, by rank
 * @param channels the most channels of a group
 */
export function convGeometries(sizes: readonly number[], channels = 3): fc.Arbitrary<ConvGeometry> {
  return fc
    .integer({ min: 1, max: sizes.length })
    .chain((rank) =>
      fc
        .tuple(
          fc.integer({ min: 1, max: 2 }),
          channelCounts(channels),
          fc.array(axis(sizes[rank - 1]), { minLength: rank, maxLength: rank }),
        )
        .map(([batch, counts, axes]) => ({ batch, ...counts, axes })),
    );
}

export const PADDING_MODES: readonly PaddingMode[] = ['zeros', 'constant', 'reflect', 'replicate', 'circular'];

/** The geometry with padding that `mode` allows: reflected and circular padding cannot exceed the input. */
export function allowed(g: ConvGeometry, mode: PaddingMode): ConvGeometry {
  if (mode !== 'reflect' && mode !== 'circular') return g;
  const axes = g.axes.map((a) => {
    const most = mode === 'reflect' ? a.input - 1 : a.input;
    const pads = [Math.min(a.pads[0], most), Math.min(a.pads[1], most)] as const;
    const reach = a.input + pads[0] + pads[1];
    const kernel = Math.min(a.kernel, reach);
    const dilation = kernel === 1 ? a.dilation : Math.min(a.dilation, Math.floor((reach - 1) / (kernel - 1)));
    return { ...a, kernel, dilation, pads };
  });
  return { ...g, axes };
}

/** The options of `conv` that a geometry stands for. */
export function convOptions(g: ConvGeometry): {
  stride: number[];
  dilation: number[];
  padding: (readonly [number, number])[];
  groups: number;
} {
  return {
    stride: g.axes.map((a) => a.stride),
    dilation: g.axes.map((a) => a.dilation),
    padding: g.axes.map((a) => a.pads),
    groups: g.groups,
  };
}

export function convImages(g: ConvGeometry, seed: number): Tensor {
  return randomTensor([g.batch, g.groups * g.channelsIn, ...g.axes.map((a) => a.input)], seed);
}

export function convFilter(g: ConvGeometry, seed: number): Tensor {
  return randomTensor([g.groups * g.channelsOut, g.channelsIn, ...g.axes.map((a) => a.kernel)], seed);
}

/** Multiply-adds, with those of taps in the padding. */
export function convWork(g: ConvGeometry): number {
  const outer = g.batch * g.groups * g.channelsIn * g.channelsOut;
  return g.axes.reduce((product, a) => {
    const outputs = Math.floor((a.input + a.pads[0] + a.pads[1] - spanOf(a)) / a.stride) + 1;
    return product * a.kernel * outputs;
  }, outer);
}

/** Numbers of channels that vector registers divide: all lanes of the targets are multiples of four. */
const LANES = 4;

/** What can be peculiar about a geometry: kernels of all targets treat these cases apart. */
export const GEOMETRY_CLASSES: Readonly<Record<string, (g: ConvGeometry) => boolean>> = {
  groups: (g) => g.groups > 1 && g.channelsIn > 1,
  depthwise: (g) => g.groups > 1 && g.channelsIn === 1 && g.channelsOut === 1,
  'depthwise with a multiplier': (g) => g.groups > 1 && g.channelsIn === 1 && g.channelsOut > 1,
  'stride × dilation': (g) => g.axes.some((a) => a.stride > 1 && a.dilation > 1 && a.kernel > 1),
  'stride above the kernel': (g) => g.axes.some((a) => a.stride > spanOf(a)),
  'asymmetric padding': (g) => g.axes.some((a) => a.pads[0] !== a.pads[1]),
  'kernel larger than the input': (g) => g.axes.some((a) => a.kernel > a.input),
  'extents of one': (g) => g.axes.some((a) => a.input === 1),
  'channels not a multiple of the lanes': (g) => g.groups === 1 && g.channelsOut > LANES && g.channelsOut % LANES !== 0,
  'channels a multiple of the lanes': (g) => g.channelsOut % LANES === 0 && g.channelsIn > 1,
};

export function geometryClasses(g: ConvGeometry): string[] {
  return Object.keys(GEOMETRY_CLASSES).filter((name) => GEOMETRY_CLASSES[name](g));
}
