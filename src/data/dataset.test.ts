import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { arrangeParts, joinSplits, mapClasses, movePart, PARTS, type PartName } from './dataset.js';

const partList = fc.array(fc.constantFrom(...PARTS), { maxLength: 60 });

test('arranging keeps every image with its label and name, in order within its part', () => {
  fc.assert(
    fc.property(partList, fc.integer({ min: 1, max: 5 }), (parts, size) => {
      const count = parts.length;
      const images = Uint8Array.from({ length: count * size }, (_, i) => Math.floor(i / size) * 4 + (i % size));
      const labels = Int32Array.from({ length: count }, (_, i) => 1000 + i);
      const names = parts.map((_, i) => `name ${i}`);
      const splits = arrangeParts(images, labels, parts, names);
      for (const part of PARTS) {
        const rows = [...parts.keys()].filter((i) => parts[i] === part);
        assert.equal(splits[part].count, rows.length);
        assert.deepEqual(
          [...splits[part].labels],
          rows.map((i) => 1000 + i),
        );
        assert.deepEqual(
          splits[part].names,
          rows.map((i) => `name ${i}`),
        );
        const expected = rows.flatMap((i) => Array.from({ length: size }, (_, j) => (4 * i + j) % 256));
        assert.deepEqual([...splits[part].images], expected);
      }
    }),
  );
});

test('a moved share is stratified, seeded, and leaves every class something', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 80 }),
      fc.integer({ min: 1, max: 4 }),
      fc.double({ min: 0, max: 0.99, noNaN: true }),
      fc.nat(),
      (count, classes, fraction, seed) => {
        const random = new Random(seed);
        const labels = Int32Array.from({ length: count }, () => random.integer(classes));
        const parts: PartName[] = new Array(count).fill('train');
        movePart(parts, labels, 'train', 'test', fraction, seed);
        const again: PartName[] = new Array(count).fill('train');
        movePart(again, labels, 'train', 'test', fraction, seed);
        assert.deepEqual(parts, again);
        for (let c = 0; c < classes; c++) {
          const own = parts.filter((_, i) => labels[i] === c);
          const moved = own.filter((part) => part === 'test').length;
          assert.equal(moved, own.length === 0 ? 0 : Math.min(Math.round(fraction * own.length), own.length - 1));
        }
      },
    ),
  );
  const pick = (seed: number): number[] => {
    const parts: PartName[] = new Array(50).fill('train');
    movePart(parts, new Int32Array(50), 'train', 'test', 0.3, seed);
    return [...parts.keys()].filter((i) => parts[i] === 'test');
  };
  assert.equal(pick(1).length, 15);
  assert.notDeepEqual(pick(1), pick(2));
});

test('joining parts puts them one behind the other', () => {
  const split = (labels: number[]) => ({
    count: labels.length,
    images: Uint8Array.from(labels.flatMap((l) => [l, l + 100])),
    labels: Int32Array.from(labels),
    names: labels.map(String),
  });
  const joined = joinSplits(split([1, 2]), split([]), split([3]));
  assert.deepEqual(
    [joined.count, [...joined.images], [...joined.labels], joined.names],
    [3, [1, 101, 2, 102, 3, 103], [1, 2, 3], ['1', '2', '3']],
  );
});

test('classes are matched by name', () => {
  assert.deepEqual(mapClasses('here', ['b', 'a'], ['a', 'b', 'c']), [1, 0]);
  assert.throws(() => mapClasses('here', ['a', 'x', 'y'], ['a', 'b']), {
    name: OptionError.name,
    message: 'here: has classes x, y that are not among the expected 2: a, b',
  });
});
