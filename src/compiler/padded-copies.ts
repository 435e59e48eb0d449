import { axisIndex, type Check, constant, guard, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { type Buffer, makeBuffer, type Step } from './steps.js';

/** A copy may have so many positions more at the end of an axis than its reader needs. */
const SPARE = 8;

/** [n, c, …spatial] with the channels fastest. */
export function channelsLast(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
}

/** Remembers padded copies, since the filter gradient can read the same one as the forward pass. */
export class PaddedCopies {
  readonly #copies: { source: Buffer; low: readonly number[]; high: readonly number[]; buffer: Buffer }[] = [];

  /** The step that makes the copy (none if one exists or no padding is needed) and a buffer with at least this padding. */
  get(
    source: Buffer,
    low: readonly number[],
    high: readonly number[],
    scope: string,
  ): { steps: Step[]; buffer: Buffer } {
    if (low.every((n) => n === 0) && high.every((n) => n === 0)) return { steps: [], buffer: source };
    const found = this.#copies.find(
      (copy) =>
        copy.source === source &&
        copy.low.every((n, s) => n === low[s]) &&
        copy.high.every((n, s) => n >= high[s] && n <= high[s] + SPARE),
    );
    if (found !== undefined) return { steps: [], buffer: found.buffer };
    const [n, c, ...spatial] = source.type.shape;
    const shape = [n, c, ...spatial.map((extent, s) => low[s] + extent + high[s])];
    const buffer = makeBuffer({ dtype: source.type.dtype, shape });
    this.#copies.push({ source, low, high, buffer });
    const index = [axisIndex(0), axisIndex(1), ...spatial.map((_, s) => axisIndex(2 + s, 1, -low[s]))];
    const checks: Check[] = spatial.flatMap((extent, s) =>
      low[s] === 0 && high[s] === 0 ? [] : [{ index: index[2 + s], extent }],
    );
    const value = load(0, source.type.dtype, index);
    const kernel = mapNest(shape, guard(checks, value, constant(0, source.type.dtype)));
    const order = channelsLast(shape.length);
    return {
      steps: [{ name: 'pad', kernel, operands: [source], results: [buffer], scope, resultOrder: order }],
      buffer,
    };
  }
}
