import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor, seeds } from '../testing/arbitraries.js';
import {
  allowed,
  type ConvGeometry,
  convFilter,
  convGeometries,
  convImages,
  convOptions,
  convWork,
  GEOMETRY_CLASSES,
  geometryClasses,
  PADDING_MODES,
} from '../testing/conv-geometries.js';
import { EXACT, FIXTURE_DEVICES } from '../testing/devices.js';
import { roundingBounds } from '../testing/rounding.js';
import { recordProof, relativeError } from '../testing/support.js';
import { sum } from './broadcast.js';
import { conv } from './conv.js';
import { convTranspose } from './conv-transpose.js';
import { mul } from './elementwise.js';
import type { PaddingMode } from './padding.js';

/** GABOR_RUNS asks for that many runs of any seed; otherwise they are the same every time, as docs/support.md is. */
const RUNS =
  process.env.GABOR_RUNS === undefined ? { numRuns: 140, seed: 1 } : { numRuns: Number(process.env.GABOR_RUNS) };

const cases = fc
  .record({
    geometry: convGeometries([17, 7, 4], 9),
    mode: fc.constantFrom(...PADDING_MODES),
    transposed: fc.boolean(),
    seed: seeds,
  })
  .map(({ geometry, mode, ...rest }) => ({
    ...rest,
    mode,
    geometry: rest.transposed ? geometry : allowed(geometry, mode),
  }))
  .filter(({ geometry }) => convWork(geometry) < 20_000);

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

/** The convolution of a case and its gradients, as a function of both operands and a cotangent. */
function program({ geometry, mode, transposed }: Case): (a: Tensor, b: Tensor, cotangent: Tensor) => Tensor[] {
  const outputSize = geometry.axes.map((a) => a.input);
  return (a, b, cotangent) => {
    const y = transposed
      ? convTranspose(a, b, { ...convOptions(geometry), outputSize })
      : conv(a, b, { ...convOptions(geometry), paddingMode: mode, ...(mode === 'constant' && { paddingValue: 0.75 }) });
    return [y, ...gradients(sum(mul(y, cotangent)), [a, b])];
  };
}

/** Operands of a case on the current device. */
function operands({ geometry, transposed, seed }: Case, results: readonly number[]): [Tensor, Tensor, Tensor] {
  const x = convImages(geometry, seed);
  const z = randomTensor(results, seed + 2);
  return [transposed ? z : x, convFilter(geometry, seed + 1), transposed ? x : z];
}

/** The shape of the convolution's result; of the argument of a transposed one. */
function resultShape(g: ConvGeometry): number[] {
  const extents = g.axes.map((a) => {
    const span = a.dilation * (a.kernel - 1) + 1;
    return Math.floor((a.input + a.pads[0] + a.pads[1] - span) / a.stride) + 1;
  });
  return [g.batch, g.groups * g.channelsOut, ...extents];
}

const modeName = (mode: PaddingMode): string => `paddingMode: "${mode}"`;

/** How often each class of geometry came. */
const counts = new Map<string, number>();

test('every target computes convolutions of random geometry and their gradients within the bounds of rounding', () => {
  fc.assert(
    fc.property(cases, (c) => {
      const { geometry, mode, transposed } = c;
      const shape = resultShape(geometry);
      setDevice(EXACT.make());
      const expected = roundingBounds(program(c) as (...args: Tensor[]) => Tensor[], operands(c, shape));
      const subject = {
        operator: `${transposed ? 'convTranspose' : 'conv'} of random geometry`,
        rank: geometry.axes.length,
        options: [...geometryClasses(geometry), ...(transposed ? [] : [modeName(mode)])],
      };
      // Where all taps fall into the padding there is nothing to see.
      const empty = expected[0].values.every((value) => value === 0);
      for (const option of empty ? [] : subject.options) {
        const key = `${subject.rank}-D ${transposed ? 'convTranspose' : 'conv'}: ${option}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      for (const device of FIXTURE_DEVICES) {
        setDevice(device.make());
        const run = compile(program(c));
        const results = run.sync(...operands(c, shape));
        results.forEach((result, i) => {
          assert.deepEqual(result.shape, expected[i].shape);
          const error = relativeError(result.data(), expected[i].values, expected[i].bounds);
          if (!empty) recordProof(subject, i === 0 ? 'forward' : 'gradients', device.name, error);
          assert.ok(error <= 1, `${device.name}: the error of result ${i} is ${error} times its bound`);
        });
        run.dispose();
      }
    }),
    RUNS,
  );
});

test('random geometry reaches what is peculiar in every rank', (t) => {
  if (process.env.GABOR_RUNS !== undefined) {
    t.skip('other runs than the usual ones');
    return;
  }
  const missing: string[] = [];
  for (const rank of [1, 2, 3]) {
    for (const operator of ['conv', 'convTranspose']) {
      const modes = operator === 'conv' ? PADDING_MODES.map(modeName) : [];
      for (const name of [...Object.keys(GEOMETRY_CLASSES), ...modes]) {
        const count = counts.get(`${rank}-D ${operator}: ${name}`) ?? 0;
        if (count === 0) missing.push(`${rank}-D ${operator}: ${name}`);
      }
    }
  }
  assert.deepEqual(missing, []);
});
