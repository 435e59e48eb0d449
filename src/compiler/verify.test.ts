import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axisIndex, axisValue, constant, type Expression, indirectIndex, load, reduced } from '../kernel/expression.js';
import { mapNest, type Nest } from '../kernel/kernel.js';
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

test('a part of a part is read before the whole is written, but not before the part', () => {
  const whole = makeBuffer({ dtype: 'f32', shape: [12] });
  const box = (buffer: typeof whole, at: number, size: number): typeof whole => {
    const made = makeBuffer({ dtype: 'f32', shape: [size] });
    made.within = { buffer, start: [at] };
    return made;
  };
  const [first, second] = [box(whole, 0, 8), box(whole, 8, 4)];
  const x = makeBuffer({ dtype: 'f32', shape: [8] }, 0);
  const write: Step = { ...copy([x], [first]), kernel: mapNest([8], load(0, 'f32', [axisIndex(0)])) };
  const read = copy([box(first, 3, 4)], [second]);
  verifySteps({ inputs: [x], steps: [write, read], outputs: [whole], updates: [] }, 'a pass');
  assert.throws(
    () => verifySteps({ inputs: [x], steps: [read, write], outputs: [whole], updates: [] }, 'a pass'),
    /after a pass: copy reads what no step wrote/,
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

test('positions that are values stay inside of their operand, and what is added by position does not know its place', () => {
  const at = (value: Expression, extent: number): Expression => load(0, 'f32', [indirectIndex(value, extent)]);
  const map = (e: Expression): Steps => program((x, y) => [{ ...copy([x], [y]), kernel: mapNest([4], e) }]);
  verifySteps(map(at(axisValue(axisIndex(0)), 4)), 'a pass');
  assert.throws(() => verifySteps(map(at(axisValue(axisIndex(0)), 5)), 'a pass'), /at a i32 below 5 along axis 0/);
  assert.throws(() => verifySteps(map(at(constant(0, 'f32'), 4)), 'a pass'), /at a f32 below 4/);

  const scatter = (change: Partial<Nest>): Steps => {
    const kernel: Nest = {
      kind: 'nest',
      parallel: [4],
      reduce: [4],
      reducers: [{ kind: 'sum', body: load(0, 'f32', [axisIndex(1)]) }],
      scatter: { axis: 0, position: axisValue(axisIndex(1)) },
      outputs: [reduced(0, 'f32')],
      ...change,
    };
    return program((x, y) => [{ ...copy([x], [y]), kernel }]);
  };
  verifySteps(scatter({}), 'a pass');
  const own = load(0, 'f32', [axisIndex(0)]);
  const broken: [Partial<Nest>, RegExp][] = [
    [{ reducers: [{ kind: 'sum', body: own }] }, /depends on the axis/],
    [{ scatter: { axis: 0, position: axisValue(axisIndex(0)) } }, /depends on the axis/],
    [{ scatter: { axis: 1, position: axisValue(axisIndex(1)) } }, /along axis 1 of \[4\]/],
    [{ reducers: [{ kind: 'max', body: load(0, 'f32', [axisIndex(1)]) }] }, /something else than one sum/],
    [{ outputs: [own] }, /something else than one sum/],
  ];
  for (const [change, message] of broken) assert.throws(() => verifySteps(scatter(change), 'a pass'), message);
});
