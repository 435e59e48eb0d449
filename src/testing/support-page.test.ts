import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Proof } from './support.js';
import { figure, listedSupport, renderSupport, supportDifferences } from './support-page.js';

const TARGETS = [{ name: 'oracle' }, { name: 'wide', optional: true }];

function proof(operator: string, rank: number | null, option: string, target: string, error = 0.3): Proof[] {
  return (['forward', 'gradients'] as const).map((direction) => ({ operator, rank, option, direction, target, error }));
}

const PROOFS: readonly Proof[] = [
  ...proof('Conv', 1, 'stride', 'oracle'),
  ...proof('Conv', 3, 'stride', 'oracle'),
  ...proof('Conv', 3, 'padding: "same"', 'oracle', 0),
  ...proof('Dropout', null, 'p', 'oracle'),
  ...proof('Dropout', 2, 'p', 'oracle'),
  proof('Dropout', 1, 'training', 'oracle')[0],
];
const WIDE: readonly Proof[] = [...PROOFS, ...proof('Conv', 1, 'stride', 'wide')];

test('figures are rounded up', () => {
  assert.deepEqual([0, 1e-9, 0.01, 0.011, 0.3, 0.5, 0.51, 1, 1.01].map(figure), [
    ...['0', '.01', '.01', '.02', '.5', '.5', '1', '1', '>1'],
  ]);
});

test('of several results for one thing the largest counts', () => {
  const twice = [...proof('Conv', 1, 'stride', 'oracle', 0.04), ...proof('Conv', 1, 'stride', 'oracle', 0.001)];
  assert.match(renderSupport(twice, TARGETS), /\| stride \| \.05 – – \| \.05 – – \|/);
});

test('a page lists what was proven', () => {
  for (const proofs of [PROOFS, WIDE]) {
    const page = renderSupport(proofs, TARGETS);
    assert.equal(listedSupport(page).size, proofs.length);
    assert.deepEqual(supportDifferences(page, proofs, TARGETS), []);
  }
  assert.match(renderSupport(WIDE, TARGETS), /\| stride \| \.5 – \.5 \| \.5 – \.5 \| \.5 – – \| \.5 – – \|/);
});

test('what is listed and not proven, or proven and not listed, is told; figures may differ', () => {
  const page = renderSupport(PROOFS, TARGETS);
  assert.deepEqual(
    supportDifferences(
      page,
      PROOFS.map((p) => ({ ...p, error: p.error / 7 })),
      TARGETS,
    ),
    [],
  );
  assert.deepEqual(supportDifferences(page, PROOFS.slice(1), TARGETS), [
    'listed, but no longer proven: Conv 1-D, stride, forward on oracle',
  ]);
  assert.deepEqual(supportDifferences(page, [...PROOFS, ...proof('Conv', 2, 'stride', 'oracle')], TARGETS), [
    'proven, but not listed: Conv 2-D, stride, forward on oracle',
    'proven, but not listed: Conv 2-D, stride, gradients on oracle',
  ]);
});

test('a target that only some machines have counts where it was there both times', () => {
  const page = renderSupport(WIDE, TARGETS);
  assert.deepEqual(supportDifferences(page, PROOFS, TARGETS), []);
  assert.deepEqual(supportDifferences(renderSupport(PROOFS, TARGETS), WIDE, TARGETS), []);
  const less = [...PROOFS, proof('Conv', 1, 'stride', 'wide')[0]];
  assert.equal(supportDifferences(page, less, TARGETS).length, 1);
  // Without the optional target in the list its columns are unknown ones.
  assert.equal(supportDifferences(page, PROOFS, [{ name: 'oracle' }]).length, 2);
});
