import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constantSchedule, cosineSchedule, stepSchedule } from './schedule.js';

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);

test('warm-up grows linearly and ends at the base', () => {
  const schedule = constantSchedule({ base: 0.4, warmup: 4 });
  [0.1, 0.2, 0.3, 0.4, 0.4, 0.4].forEach((lr, step) => {
    near(schedule(step), lr);
  });
  near(constantSchedule({ base: 0.4 })(0), 0.4);
});

test('the cosine goes from base to min and stays there', () => {
  const schedule = cosineSchedule({ base: 1, steps: 12, warmup: 2, min: 0.1 });
  near(schedule(0), 0.5);
  near(schedule(2), 1);
  near(schedule(7), 0.55);
  near(schedule(12), 0.1);
  near(schedule(50), 0.1);
  for (let step = 2; step < 12; step++) assert.ok(schedule(step + 1) < schedule(step));
});

test('the step schedule multiplies by gamma', () => {
  const schedule = stepSchedule({ base: 1, stepSize: 3, gamma: 0.5, warmup: 1 });
  [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25].forEach((lr, step) => {
    near(schedule(step), lr);
  });
});

test('schedules refuse what makes no sense', () => {
  assert.throws(() => cosineSchedule({ base: 1, steps: 0 }), /steps must be an integer ≥ 1/);
  assert.throws(() => cosineSchedule({ base: -1, steps: 5 }), /base must be a number ≥ 0/);
  assert.throws(() => stepSchedule({ base: 1, stepSize: 2.5 }), /stepSize must be an integer/);
  assert.throws(() => constantSchedule({ base: 1, warmup: -1 }), /warmup must be an integer ≥ 0/);
  assert.throws(() => cosineSchedule({ base: 1, steps: 5, warmUp: 2 } as never), /unknown option "warmUp"/);
});
