import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axisIndex, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { makeBuffer, type Step, type Steps } from './steps.js';
import { verifySteps } from './verify.js';

const type = { dtype: 'f32', shape: [4] } as const;
const copy = (operands: Step['operands'], results: Step['results'], operand = 0): Step => ({
  name: 'copy',
  kernel: mapNest([4], load(operand, 'f32', [axisIndex(0)])),
  operands,
  results,
  scope: '',
});

function program(make: (x: ReturnType<typeof makeBuffer>, y: ReturnType<typeof makeBuffer>) => Step[]): Steps {
  const x = makeBuffer(type, 0);
  const y = makeBuffer(type);
  return { inputs: [x], steps: make(x, y), outputs: [y], updates: [] };
}

test('a program that keeps the rules passes', () => {
  verifySteps(
    program((x, y) => [copy([x], [y])]),
    'nothing',
  );
});

test('every broken rule is named, with the pass and the step', () => {
  const broken: [Steps, RegExp][] = [
    [program((_x, y) => [copy([makeBuffer(type)], [y])]), /after a pass: copy reads what no step wrote/],
    [program((x, y) => [copy([x], [y]), copy([x], [y])]), /written before/],
    [program((x) => [copy([x], [makeBuffer(type)])]), /a result is never written/],
    [program((x, y) => [copy([x], [y], 1)]), /loads operand 1 of 1/],
    [program((x, y) => [{ ...copy([x], [y]), kernel: mapNest([3], load(0, 'f32', [axisIndex(0)])) }]), /do not fill/],
    [program((x, y) => [{ ...copy([x], [y]), kernel: mapNest([4], load(0, 'f32', [])) }]), /at 0 indices/],
  ];
  for (const [steps, message] of broken) assert.throws(() => verifySteps(steps, 'a pass'), message);
});
