import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { sum } from '../ops/broadcast.js';
import { mul } from '../ops/elementwise.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, FIXTURE_DEVICES, TEST_DEVICES } from './devices.js';
import { type FixtureArray, fixtureTensor, readFixtures } from './fixtures.js';
import { type Rounded, roundingBounds } from './rounding.js';
import { assertProven, type Subject } from './support.js';

/** A loss and what PyTorch computes: what `loss_case` and `loss_module_case` in the scripts write. */
export interface LossCase {
  readonly name: string;
  readonly input: FixtureArray;
  readonly target: FixtureArray & { readonly integer: boolean };
  readonly output: FixtureArray;
  readonly cotangent: FixtureArray;
  readonly gradient: FixtureArray;
}

/** A loss as a function of a prediction and a target. */
export type Loss = (input: Tensor, target: Tensor) => Tensor;

/**
 * Tests losses against `tests/fixtures/NAME.jsonl` on every device, as they stand and with their gradients in a program.
 *
 * @param make the loss of a case, on the current device
 */
export function testLossFixtures<C extends LossCase>(
  name: string,
  make: (c: C) => Loss,
  subjectOf: (c: C) => Subject,
): void {
  const cases = readFixtures<C>(name);
  const bounds = new Map<C, readonly Rounded[]>();
  for (const device of FIXTURE_DEVICES) {
    test(`${name} agree with PyTorch [${device.name}]`, async (t) => {
      for (const c of cases) {
        await t.test(c.name, () => {
          if (!bounds.has(c)) bounds.set(c, analyse(c, make));
          setDevice(device.make());
          const [value, slope] = bounds.get(c) as readonly Rounded[];
          const proof = { subject: subjectOf(c), device };
          const [x, target, cotangent] = tensorsOf(c);
          const differentiate = compile(lossAndGradient(make(c)));
          const [y, gradient] = differentiate.sync(x, target, cotangent);
          assertProven(y, c.output, value, proof, 'forward', 'loss');
          assertProven(gradient, c.gradient, slope, proof, 'gradients', 'gradient');
          if (TEST_DEVICES.includes(device)) {
            assertProven(make(c)(x, target), c.output, value, proof, 'forward', 'loss outside of compile');
          }
          differentiate.dispose();
        });
      }
    });
  }
}

function tensorsOf(c: LossCase): [Tensor, Tensor, Tensor] {
  const target = fixtureTensor(c.target, c.target.integer ? 'i32' : 'f32');
  return [fixtureTensor(c.input), target, fixtureTensor(c.cotangent)];
}

const lossAndGradient =
  (loss: Loss) =>
  (x: Tensor, target: Tensor, cotangent: Tensor): Tensor[] => {
    const y = loss(x, target);
    return [y, ...gradients(sum(mul(y, cotangent)), [x])];
  };

function analyse<C extends LossCase>(c: C, make: (c: C) => Loss): Rounded[] {
  setDevice(EXACT.make());
  return roundingBounds(lossAndGradient(make(c)) as (...args: Tensor[]) => Tensor[], tensorsOf(c));
}

/** The name and options of a loss: also what its targets are, and whether there is one for each position of an image. */
export function lossSubject(operator: string, options: readonly string[], c: LossCase): Subject {
  const kinds = /cross.?entropy|dice/i.test(operator) ? [`of ${c.target.integer ? 'labels' : 'probabilities'}`] : [];
  const spatial = c.input.shape.length > 2 ? ['per position'] : [];
  return {
    operator,
    options: [...options.filter((name) => name !== 'defaults' || kinds.length === 0), ...kinds, ...spatial],
  };
}
