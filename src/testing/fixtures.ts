import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { tensor } from '../ops/create.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** A tensor in a fixture. */
export interface FixtureArray {
  readonly shape: Shape;
  readonly data: readonly number[];
}

/** The path of a file of `tests/fixtures`, from wherever the tests were compiled to. */
export function fixturePath(file: string): string {
  for (let folder = new URL('.', import.meta.url); ; folder = new URL('..', folder)) {
    const path = fileURLToPath(new URL('tests/fixtures/', folder));
    if (existsSync(path)) return `${path}${file}`;
    if (folder.pathname === '/') throw new Error('tests/fixtures is not there');
  }
}

/** The cases of `tests/fixtures/NAME.jsonl`, which `scripts/fixtures.py` writes with PyTorch. */
export function readFixtures<T>(name: string): T[] {
  const lines = readFileSync(fixturePath(`${name}.jsonl`), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

export function fixtureTensor({ shape, data }: FixtureArray, dtype: 'f32' | 'i32' = 'f32'): Tensor {
  return tensor(data, { shape, dtype });
}

/**
 * Asserts that `actual` has the expected shape and elements.
 *
 * @param tolerance relative to the largest expected magnitude, or to 1 where that is smaller
 */
export function assertClose(actual: Tensor, expected: FixtureArray, tolerance: number, what: string): void {
  assert.deepEqual([...actual.shape], [...expected.shape], `${what}: shape`);
  const data = actual.data();
  const scale = expected.data.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  for (let i = 0; i < data.length; i++) {
    const difference = Math.abs(data[i] - expected.data[i]);
    if (!(difference <= tolerance * scale)) {
      assert.fail(`${what}: element ${i} is ${data[i]}, expected ${expected.data[i]} (difference ${difference})`);
    }
  }
}
