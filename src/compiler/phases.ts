import type { Contraction, Geometry } from '../kernel/contraction.js';

/** One spatial axis as a dense gather: which output positions, which taps, and where they read. */
export interface GatherAxis {
  readonly count: number;
  readonly outStart: number;
  readonly outStep: number;
  readonly stride: number;
  readonly taps: number;
  readonly dilation: number;
  /** Position read by output 0, tap 0, in the unpadded source; negative in the padding. */
  readonly start: number;
  /** Filter position of tap t: tapStart + tapStep · t. */
  readonly tapStart: number;
  readonly tapStep: number;
}

/** Every axis of a convolution, or of its gradient with respect to the input, as gathers: one, or one for each residue of the stride. */
export function gatherPhases({ role, geometry }: Contraction): GatherAxis[][] {
  return geometry.axes.map((axis): GatherAxis[] => {
    if (role === 'input') return inputPhases(axis);
    return [
      {
        count: axis.output,
        outStart: 0,
        outStep: 1,
        stride: axis.stride,
        taps: axis.kernel,
        dilation: axis.dilation,
        start: -axis.padLow,
        tapStart: 0,
        tapStep: 1,
      },
    ];
  });
}

/**
 * i + padLow = stride · o + dilation · k: input positions of one residue see only the taps k ≡ tapStart (mod tapStep),
 * and read neighbouring outputs o. Taps run backwards so that positions run forwards.
 */
function inputPhases(axis: Geometry['axes'][number]): GatherAxis[] {
  const phases: GatherAxis[] = [];
  const tapStep = axis.stride / greatestCommonDivisor(axis.dilation, axis.stride);
  for (let outStart = 0; outStart < axis.stride; outStart++) {
    const fits = (k: number): boolean => mod(outStart + axis.padLow - axis.dilation * k, axis.stride) === 0;
    const taps = Array.from({ length: axis.kernel }, (_, k) => k).filter(fits);
    const last = taps[taps.length - 1] ?? 0;
    phases.push({
      count: Math.max(0, Math.ceil((axis.input - outStart) / axis.stride)),
      outStart,
      outStep: axis.stride,
      stride: 1,
      taps: taps.length,
      dilation: (axis.dilation * tapStep) / axis.stride,
      start: Math.floor((outStart + axis.padLow - axis.dilation * last) / axis.stride),
      tapStart: last,
      tapStep: -tapStep,
    });
  }
  return phases;
}

/** Positions that are read before and behind a source of `extent` elements. */
export function paddingOf(phases: readonly GatherAxis[], extent: number): { low: number; high: number } {
  const reading = phases.filter((p) => p.taps > 0 && p.count > 0);
  const end = (p: GatherAxis): number => p.start + p.stride * (p.count - 1) + p.dilation * (p.taps - 1);
  return {
    low: Math.max(0, ...reading.map((p) => -p.start)),
    high: Math.max(0, ...reading.map((p) => end(p) - (extent - 1))),
  };
}

export function product<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((all, list) => all.flatMap((head) => list.map((item) => [...head, item])), [[]]);
}

function mod(a: number, b: number): number {
  return ((a % b) + b) % b;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
