import { broadcastTo } from '../../../ops/broadcast.js';
import { concat } from '../../../ops/concat.js';
import { full, iota } from '../../../ops/create.js';
import { batchedMatmul } from '../../../ops/einsum.js';
import {
  abs,
  add,
  cast,
  div,
  floor,
  greaterEqual,
  lessEqual,
  logicalAnd,
  maximum,
  minimum,
  mul,
  round,
  sub,
  where,
} from '../../../ops/elementwise.js';
import { gather } from '../../../ops/gather.js';
import { reshape } from '../../../ops/reshape.js';
import { slice } from '../../../ops/slice.js';
import { transpose } from '../../../ops/transpose.js';
import { sizeOf, stridesOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';

/** An element that a sample takes along one axis: where it lies (a whole number as a float) and how much it counts. */
interface Tap {
  readonly at: Tensor;
  readonly weight: Tensor | undefined;
}

interface Sampling {
  readonly mode: string;
  readonly padding: string;
  readonly align: boolean;
}

/** Samples of an image where a grid says, as spatial transformers do (Jaderberg et al., 2015). */
function gridSample(c: OperatorContext): Results {
  const [x, grid] = [c.x(0), c.x(1)];
  const sampling: Sampling = {
    mode: c.text('mode', 'linear').replace(/^bi/, ''),
    padding: c.text('padding_mode', 'zeros'),
    align: c.flag('align_corners'),
  };
  if (!['linear', 'nearest', 'cubic'].includes(sampling.mode)) c.refuse(`mode "${sampling.mode}" is not known`);
  if (!['zeros', 'border', 'reflection'].includes(sampling.padding))
    c.refuse(`padding_mode "${sampling.padding}" is not known`);
  const [batch, channels, ...extents] = x.shape;
  const rank = extents.length;
  if (grid.rank !== rank + 2 || grid.shape[rank + 1] !== rank)
    c.broken(`the grid needs [batch, …, ${rank}], got ${c.shapes()}`);
  const outer = grid.shape.slice(0, -1);
  const axes = extents.map((extent, s) => {
    // The last number of a place is that of the first axis.
    const at = reshape(slice(grid, [...outer.map(() => 0), rank - 1 - s], [...outer, 1]), outer);
    const place = sampling.align ? mul(mul(add(at, 1), 0.5), extent - 1) : mul(sub(mul(add(at, 1), extent), 1), 0.5);
    return tapsAlong(sampling, place, extent);
  });
  const rows = reshape(transpose(x, [0, ...extents.map((_, s) => 2 + s), 1]), [batch * sizeOf(extents), channels]);
  const strides = stridesOf(extents);
  const first = mul(iota([batch, ...outer.slice(1).map(() => 1)], 0), sizeOf(extents));
  let total: Tensor | undefined;
  for (const taps of combinations(axes)) {
    let flat = first;
    let weight: Tensor | undefined;
    taps.forEach((tap, s) => {
      const inside = logicalAnd(greaterEqual(tap.at, 0), lessEqual(tap.at, extents[s] - 1));
      flat = add(flat, mul(cast(maximum(minimum(tap.at, extents[s] - 1), 0), 'i32'), strides[s]));
      const own =
        sampling.padding === 'zeros'
          ? where(inside, tap.weight ?? 1, tap.weight === undefined ? mul(tap.at, 0) : 0)
          : tap.weight;
      weight = own === undefined ? weight : weight === undefined ? own : mul(weight, own);
    });
    const values = gather(rows, flat, { axis: 0 });
    const part = weight === undefined ? values : mul(values, reshape(weight, [...outer, 1]));
    total = total === undefined ? part : add(total, part);
  }
  return c.like(transpose(total as Tensor, [0, rank + 1, ...extents.map((_, s) => 1 + s)]));
}

function tapsAlong({ mode, padding, align }: Sampling, place: Tensor, extent: number): Tap[] {
  const inside = (at: Tensor): Tensor => {
    if (padding === 'zeros') return at;
    const turned = padding === 'reflection' ? reflected(at, align ? 0 : -0.5, align ? extent - 1 : extent - 0.5) : at;
    return maximum(minimum(turned, extent - 1), 0);
  };
  if (mode === 'cubic') {
    const low = floor(place);
    const rest = sub(place, low);
    return [-1, 0, 1, 2].map((k) => ({
      at: inside(add(low, k)),
      weight: cubic(abs(sub(rest, k)), k === 0 || k === 1),
    }));
  }
  const at = inside(place);
  if (mode === 'nearest') return [{ at: round(at), weight: undefined }];
  const low = floor(at);
  const rest = sub(at, low);
  return [
    { at: low, weight: sub(1, rest) },
    { at: add(low, 1), weight: rest },
  ];
}

/** Mirrors places at both ends until they lie between them. */
function reflected(at: Tensor, low: number, high: number): Tensor {
  const span = high - low;
  if (span <= 0) return mul(at, 0);
  const distance = abs(sub(at, low));
  const turn = sub(distance, mul(floor(div(distance, 2 * span)), 2 * span));
  return add(sub(span, abs(sub(turn, span))), low);
}

/** Cubic convolution (Keys, 1981) with A = −0.75, at distances up to 1 or from 1 to 2. */
function cubic(d: Tensor, near: boolean): Tensor {
  const a = -0.75;
  if (near) return add(mul(mul(sub(mul(d, a + 2), a + 3), d), d), 1);
  return sub(mul(mul(add(mul(sub(d, 5), d), 8), d), a), 4 * a);
}

function combinations(axes: readonly (readonly Tap[])[]): Tap[][] {
  return axes.reduce<Tap[][]>((lists, taps) => lists.flatMap((list) => taps.map((tap) => [...list, tap])), [[]]);
}

/** Places for `GridSample`: the corners of the output, −1 to 1, moved by a matrix for each sample. */
function affineGrid(c: OperatorContext): Results {
  const theta = c.x(0);
  const [batch, , ...extents] = c.numbers(1);
  const rank = extents.length;
  if (theta.rank !== 3 || theta.shape[1] !== rank || theta.shape[2] !== rank + 1) {
    c.broken(`needs matrices [batch, ${rank}, ${rank + 1}], got ${c.shapes()}`);
  }
  const align = c.flag('align_corners');
  const count = sizeOf(extents);
  const along = (s: number): Tensor => {
    const extent = extents[s];
    const i = cast(
      iota(
        extents.map((n, d) => (d === s ? n : 1)),
        s,
      ),
      'f32',
    );
    const [factor, shift] = align ? [extent === 1 ? 0 : 2 / (extent - 1), -1] : [2 / extent, 1 / extent - 1];
    return reshape(broadcastTo(add(mul(i, factor), shift), extents), [count, 1]);
  };
  // Columns of the base: place along the last axis, …, along the first, 1.
  const places = extents.map((_, s) => along(rank - 1 - s));
  const base = concat([...places, full([count, 1], 1)], 1);
  const grid = batchedMatmul(base, transpose(theta, [0, 2, 1]), c.where);
  return c.like(reshape(grid, [batch, ...extents, rank]));
}

export const SAMPLING: OperatorTable = {
  AffineGrid: { attributes: ['align_corners'], statics: [1], since: 20, run: affineGrid },
  GridSample: { attributes: ['align_corners', 'mode', 'padding_mode'], since: 16, run: gridSample },
};
