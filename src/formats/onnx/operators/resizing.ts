import { broadcastTo } from '../../../ops/broadcast.js';
import { tensor } from '../../../ops/create.js';
import { cast, round, where } from '../../../ops/elementwise.js';
import { gather } from '../../../ops/gather.js';
import { repeatElements, resampleAxis } from '../../../ops/resize.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';

/** One axis to resize. */
interface Axis {
  readonly axis: number;
  readonly input: number;
  readonly output: number;
  readonly scale: number;
  /** of `tf_crop_and_resize`, relative to the extent */
  readonly from: number;
  readonly to: number;
}

interface Mode {
  readonly kind: 'nearest' | 'linear' | 'cubic';
  readonly coordinates: string;
  readonly nearest: string;
  readonly cubicA: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
}

/** Larger matrices of weights are no resizing of anything that fits into memory. */
const MOST_WEIGHTS = 2 ** 24;
const MOST_EXTENT = 2 ** 20;

function resize(c: OperatorContext): Results {
  const x = c.x(0);
  const whole = isWhole(c.value(0).type);
  const mode = modeOf(c);
  const axes = axesOf(c, x, mode);
  let y = whole ? cast(x, 'f32') : x;
  const outside: { axis: number; inside: number[] }[] = [];
  for (const a of axes) {
    const places = Array.from({ length: a.output }, (_, o) => position(mode.coordinates, a, o));
    y = resized(c, y, a, mode, places);
    if (mode.coordinates !== 'tf_crop_and_resize') continue;
    outside.push({ axis: a.axis, inside: places.map((place) => (place >= 0 && place <= a.input - 1 ? 1 : 0)) });
  }
  for (const { axis, inside } of outside) {
    if (inside.every((one) => one === 1)) continue;
    const shape = y.shape.map((extent, i) => (i === axis ? extent : 1));
    const mask = broadcastTo(tensor(inside, { shape, dtype: 'bool' }), y.shape);
    y = where(mask, y, c.float('extrapolation_value', 0));
  }
  return c.like(whole ? cast(round(y), 'i32') : y);
}

function modeOf(c: OperatorContext): Mode {
  const kind = c.text('mode', 'nearest');
  if (kind !== 'nearest' && kind !== 'linear' && kind !== 'cubic') c.refuse(`mode "${kind}" is not known`);
  // Before version 11 there was one transformation, and the nearest pixel was the one before.
  const old = c.opset < 11 || c.node.type === 'Upsample';
  return {
    kind,
    coordinates: old ? 'asymmetric' : c.text('coordinate_transformation_mode', 'half_pixel'),
    nearest: old ? 'floor' : c.text('nearest_mode', 'round_prefer_floor'),
    cubicA: c.float('cubic_coeff_a', -0.75),
    excludeOutside: c.flag('exclude_outside'),
    antialias: c.flag('antialias'),
  };
}

function axesOf(c: OperatorContext, x: Tensor, mode: Mode): Axis[] {
  const old = c.opset < 11 || c.node.type === 'Upsample';
  const listed = c.axes(c.ints('axes') ?? x.shape.map((_, axis) => axis), x.rank);
  const given = (i: number): number[] | undefined => {
    const list = c.numbersOr(i, undefined);
    return list === undefined || list.length === 0 ? undefined : list;
  };
  const scales = old ? (c.floats('scales') ?? given(1)) : given(2);
  let sizes = old ? undefined : given(3);
  const roi = mode.coordinates === 'tf_crop_and_resize' ? given(1) : undefined;
  if (mode.coordinates === 'tf_crop_and_resize' && roi === undefined) c.broken('tf_crop_and_resize needs a region');
  const list = sizes ?? scales ?? c.broken('needs scales or sizes');
  if (list.length !== listed.length) c.broken(`${list.length} scales or sizes for ${listed.length} axes`);
  const policy = c.text('keep_aspect_ratio_policy', 'stretch');
  let common: number | undefined;
  if (sizes !== undefined && policy !== 'stretch') {
    const ratios = listed.map((axis, i) => (sizes as number[])[i] / x.shape[axis]);
    const ratio = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
    common = ratio;
    sizes = listed.map((axis) => Math.floor(ratio * x.shape[axis] + 0.5));
  }
  return listed
    .map((axis, i): Axis => {
      const input = x.shape[axis];
      const [from, to] = roi === undefined ? [0, 1] : [roi[i], roi[listed.length + i]];
      const scale = sizes === undefined ? list[i] : (common ?? sizes[i] / input);
      const output = sizes === undefined ? Math.floor(input * (to - from) * scale) : sizes[i];
      if (!(output >= 1 && output <= MOST_EXTENT) || !(scale > 0) || input < 1)
        c.broken(`axis ${axis} of ${input} would become ${output}`);
      return { axis, input, output, scale, from, to };
    })
    .filter(({ input, output, scale, from, to }) => input !== output || scale !== 1 || from !== 0 || to !== 1);
}

/** Where the centre of result `o` lies among the elements of the input. */
function position(mode: string, { input, output, scale, from, to }: Axis, o: number): number {
  const exact = scale * input;
  switch (mode) {
    case 'half_pixel':
      return (o + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric':
      return (input / 2) * (1 - output / exact) + (o + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return output === 1 ? 0 : (o + 0.5) / scale - 0.5;
    case 'align_corners':
      return exact === 1 || output === 1 ? 0 : (o * (input - 1)) / (exact - 1);
    case 'tf_half_pixel_for_nn':
      return (o + 0.5) / scale;
    case 'tf_crop_and_resize':
      return output === 1
        ? 0.5 * (from + to) * (input - 1)
        : from * (input - 1) + (o * (to - from) * (input - 1)) / (output - 1);
    case 'asymmetric':
      return o / scale;
    default:
      return Number.NaN;
  }
}

function resized(c: OperatorContext, x: Tensor, a: Axis, mode: Mode, places: readonly number[]): Tensor {
  if (places.some(Number.isNaN)) c.refuse(`coordinate_transformation_mode "${mode.coordinates}" is not known`);
  if (mode.kind === 'nearest') {
    const indices = places.map((place) => Math.min(Math.max(nearest(c, mode.nearest, place), 0), a.input - 1));
    const factor = a.output / a.input;
    if (Number.isInteger(factor) && indices.every((index, o) => index === Math.floor(o / factor)))
      return repeatElements(x, a.axis, factor);
    return gather(x, tensor(Int32Array.from(indices)), { axis: a.axis });
  }
  if (a.input * a.output > MOST_WEIGHTS) c.refuse(`from ${a.input} to ${a.output} elements is more than is supported`);
  return resampleAxis(x, a.axis, weights(a, mode, places), a.output);
}

function nearest(c: OperatorContext, mode: string, place: number): number {
  switch (mode) {
    case 'round_prefer_floor':
      return Math.ceil(place - 0.5);
    case 'round_prefer_ceil':
      return Math.floor(place + 0.5);
    case 'floor':
      return Math.floor(place);
    case 'ceil':
      return Math.ceil(place);
    default:
      return c.refuse(`nearest_mode "${mode}" is not known`);
  }
}

/** The weights [output, input], row-major; beyond the border is what is at the border, or nothing. */
function weights({ input, output, scale }: Axis, mode: Mode, places: readonly number[]): Float64Array {
  const matrix = new Float64Array(output * input);
  // Against aliasing, the kernel grows with the distance of results.
  const shrink = mode.antialias ? Math.min(scale, 1) : 1;
  const reach = (mode.kind === 'linear' ? 1 : 2) / shrink;
  const kernel =
    mode.kind === 'linear' ? (d: number): number => Math.max(0, 1 - d) : (d: number): number => cubic(d, mode.cubicA);
  places.forEach((place, o) => {
    let total = 0;
    const row = matrix.subarray(o * input, (o + 1) * input);
    for (let i = Math.floor(place - reach); i <= Math.ceil(place + reach); i++) {
      if (mode.excludeOutside && (i < 0 || i >= input)) continue;
      const weight = kernel(Math.abs(i - place) * shrink);
      row[Math.min(Math.max(i, 0), input - 1)] += weight;
      total += weight;
    }
    for (let i = 0; i < input; i++) row[i] /= total;
  });
  return matrix;
}

/** Cubic convolution (Keys, 1981). */
function cubic(d: number, a: number): number {
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((d - 5) * d + 8) * d * a - 4 * a : 0;
}

export const RESIZING: OperatorTable = {
  Resize: {
    attributes: [
      ...['antialias', 'axes', 'coordinate_transformation_mode', 'cubic_coeff_a', 'exclude_outside'],
      ...['extrapolation_value', 'keep_aspect_ratio_policy', 'mode', 'nearest_mode'],
    ],
    statics: [1, 2, 3],
    since: 10,
    run: resize,
  },
  Upsample: { attributes: ['mode', 'scales'], statics: [1], run: resize },
};
