import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { OptionError } from '../tensor/errors.js';
import { defaultThreads } from './threads.js';

test('GABOR_THREADS wins over the number of processors and is checked', (t) => {
  const before = process.env.GABOR_THREADS;
  t.after(() => {
    if (before === undefined) delete process.env.GABOR_THREADS;
    else process.env.GABOR_THREADS = before;
  });
  delete process.env.GABOR_THREADS;
  const automatic = defaultThreads();
  assert.ok(Number.isInteger(automatic) && automatic >= 1 && automatic <= availableParallelism());
  process.env.GABOR_THREADS = '';
  assert.equal(defaultThreads(), automatic);
  process.env.GABOR_THREADS = '7';
  assert.equal(defaultThreads(), 7);
  for (const wrong of ['0', '-2', '2.5', 'all', '1e3', '100000']) {
    process.env.GABOR_THREADS = wrong;
    assert.throws(
      () => defaultThreads(),
      (error: Error) =>
        error instanceof OptionError && error.message.includes('GABOR_THREADS') && error.message.includes(`"${wrong}"`),
    );
  }
});
