import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GaborError, InternalError, OptionError } from '../tensor/errors.js';
import { ALIGNMENT, BlockAllocator } from './allocator.js';
import { DeviceMemory } from './memory.js';

const GiB = 2 ** 30;

/** The blocks must tile [start, end) without gaps, and no two free blocks may be neighbours. */
function checkTiling(allocator: BlockAllocator, start: number, live: ReadonlyMap<number, number>): void {
  let address = start;
  let wasFree = false;
  let taken = 0;
  for (const block of allocator.blocks()) {
    assert.equal(block.address, address);
    assert.ok(block.size > 0 && block.size % ALIGNMENT === 0);
    assert.ok(!(wasFree && block.free), 'two free neighbours');
    assert.equal(live.get(block.address), block.free ? undefined : block.size);
    if (!block.free) taken++;
    wasFree = block.free;
    address += block.size;
  }
  assert.equal(address, allocator.end);
  assert.equal(taken, live.size);
}

test('blocks never overlap, fit whenever any free block does, and join again when freed', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('allocate'), n: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('allocate'), n: fc.integer({ min: 1, max: 3000 }) }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('free'), n: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('extend'), n: fc.integer({ min: 0, max: 2000 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const start = ALIGNMENT;
      const allocator = new BlockAllocator(start, start + 1000 * ALIGNMENT);
      const live = new Map<number, number>();
      for (const { kind, n } of steps) {
        if (kind === 'allocate') {
          const size = n * ALIGNMENT;
          const largest = Math.max(0, ...[...allocator.blocks()].filter((b) => b.free).map((b) => b.size));
          assert.equal(allocator.largest, largest);
          const address = allocator.allocate(size);
          assert.equal(address === undefined, largest < size);
          if (address !== undefined) live.set(address, size);
        } else if (kind === 'free' && live.size > 0) {
          const address = [...live.keys()][n % live.size];
          assert.equal(allocator.free(address), live.get(address));
          assert.equal(allocator.free(address), undefined);
          live.delete(address);
        } else if (kind === 'extend') {
          allocator.extend(allocator.end + n * ALIGNMENT);
        }
        checkTiling(allocator, start, live);
      }
      for (const address of live.keys()) allocator.free(address);
      assert.deepEqual(
        [...allocator.blocks()].map((b) => [b.address, b.size, b.free]),
        [[start, allocator.end - start, true]],
      );
    }),
    { numRuns: 100 },
  );
});

test('device memory aligns, counts and grows; old and new views see the same bytes', () => {
  const memory = new DeviceMemory({ initial: 65536 });
  const a = memory.allocate(1000);
  assert.ok(a > 0 && a % 64 === 0);
  const before = memory.view('f32', a, 250);
  before.fill(1.5);
  assert.equal(memory.used, 1088);
  const b = memory.allocate(10_000_000);
  assert.ok(memory.capacity >= b + 10_000_000 + 64);
  memory.view('i32', b, 2_500_000).fill(7);
  const after = memory.view('f32', a, 250);
  assert.ok(after.every((x) => x === 1.5));
  before[3] = 2;
  assert.equal(after[3], 2);
  memory.free(b);
  assert.equal(memory.used, 1088);
  assert.ok(memory.peak >= 10_001_000);
  assert.equal(memory.allocate(9_999_999), b);
  assert.throws(() => memory.free(a + 64), InternalError);
});

test('memory that is not shared works, too', () => {
  const memory = new DeviceMemory({ initial: 65536, shared: false });
  assert.ok(memory.memory.buffer instanceof ArrayBuffer);
  const a = memory.allocate(4);
  memory.view('f32', a, 1)[0] = 3;
  memory.allocate(1 << 20);
  assert.equal(memory.view('f32', a, 1)[0], 3);
});

test('addresses above 2 GiB are unsigned', () => {
  const memory = new DeviceMemory();
  const low = memory.allocate(2.5 * GiB);
  const high = memory.allocate(GiB);
  assert.ok(high > 2 ** 31);
  // A pointer that went through an i32 comes back negative.
  memory.view('f32', high | 0, 4).set([1, 2, 3, 4]);
  assert.deepEqual([...memory.view('f32', high, 4)], [1, 2, 3, 4]);
  assert.throws(
    () => memory.allocate(GiB),
    (error: Error) =>
      error instanceof GaborError &&
      /asked for 1 GiB; 3\.5 GiB of at most 4 GiB are in use \(largest free block/.test(error.message),
  );
  memory.free(low);
  memory.free(high | 0);
  assert.equal(memory.used, 0);
  assert.deepEqual(
    [...memory.blocks()].map((b) => [b.address, b.size, b.free]),
    [[64, memory.capacity - 64, true]],
  );
  memory.allocate(memory.limit - 64 - 64);
  assert.equal(memory.capacity, 4 * GiB);
});

test('a limit holds, and wrong options are errors', () => {
  const memory = new DeviceMemory({ limit: 2 * 65536 });
  memory.allocate(100_000);
  assert.throws(() => memory.allocate(100_000), /asked for 97\.66 KiB; 97\.75 KiB of at most 128 KiB/);
  memory.allocate(30_000);
  assert.throws(() => new DeviceMemory({ limit: 5 * GiB }), OptionError);
  assert.throws(() => new DeviceMemory({ limit: 1 }), OptionError);
  assert.throws(() => new DeviceMemory({ size: 5 } as object), OptionError);
});
