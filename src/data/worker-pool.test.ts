import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GaborError } from '../tensor/errors.js';
import { WorkerPool } from './worker-pool.js';

/** A worker that squares numbers, throws at −1, crashes at −2 and exits at −3. */
function script(): URL {
  const served = new URL('./worker-pool.js', import.meta.url).href;
  const code = `
    import { serveRequests } from ${JSON.stringify(served)};
    serveRequests((x) => {
      if (x === -1) throw new Error('minus one');
      if (x === -2) queueMicrotask(() => { throw new Error('gone'); });
      if (x === -3) process.exit(5);
      return x * x;
    });`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}

test('requests are answered in order by several workers', async () => {
  const pool = new WorkerPool<number, number>('testing', script(), 3);
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  assert.deepEqual(
    await Promise.all(numbers.map((n) => pool.run(n))),
    numbers.map((n) => n * n),
  );
  assert.deepEqual(
    await Promise.all(numbers.map((n) => pool.run(n, n % 2))),
    numbers.map((n) => n * n),
  );
  assert.equal(pool.pending, 0);
  await pool.close();
});

test('what a request throws rejects that request only', async () => {
  const pool = new WorkerPool<number, number>('testing', script(), 1);
  const results = await Promise.allSettled([pool.run(2), pool.run(-1), pool.run(3)]);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.message)),
    [4, 'minus one', 9],
  );
  await pool.close();
});

test('a worker that crashes or exits rejects what waits, and all that comes after', async () => {
  for (const [request, message] of [
    [-2, /testing: a worker thread failed: gone/],
    [-3, /testing: a worker thread ended early \(exit code 5\)/],
  ] as const) {
    const pool = new WorkerPool<number, number>('testing', script(), 1);
    await pool.run(1);
    const first = pool.run(request).catch((error) => error);
    const second = pool.run(7).catch((error) => error);
    await first;
    const error = await second;
    assert.ok(error instanceof GaborError);
    assert.match(error.message, message);
    await assert.rejects(pool.run(1), message);
    await pool.close();
  }
});

test('closing rejects what waits', async () => {
  const pool = new WorkerPool<number, number>('testing', script(), 2);
  const waiting = assert.rejects(pool.run(1), /closed/);
  await pool.close();
  await waiting;
  await assert.rejects(pool.run(1), /closed/);
});

test('a worker whose module does not exist is an error', async () => {
  const pool = new WorkerPool<number, number>('testing', new URL('./no-such-worker.js', import.meta.url), 1);
  await assert.rejects(pool.run(1), /testing: a worker thread failed: .*no-such-worker/);
  await pool.close();
});
