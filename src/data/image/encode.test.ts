import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeImage } from './decode.js';
import { encodePng } from './encode.js';

test('what is written as PNG is read again', () => {
  const size = fc.integer({ min: 1, max: 20 });
  fc.assert(
    fc.property(
      size,
      size,
      fc.constantFrom(1, 3),
      fc.infiniteStream(fc.nat(255)),
      (width, height, channels, values) => {
        const data = Uint8Array.from([...values.take(width * height * channels)]);
        const image = { width, height, channels: channels as 1 | 3, data };
        const read = decodeImage(encodePng(image), 'x.png');
        assert.deepEqual({ ...read, data: [...read.data] }, { ...image, data: [...data] });
      },
    ),
  );
});

test('a picture with too few values is refused', () => {
  const image = { width: 2, height: 3, channels: 3, data: new Uint8Array(6) } as const;
  assert.throws(() => encodePng(image), /2×3 pixels of 3 values, but there are 6; expected width · height · channels/);
  assert.throws(() => encodePng({ ...image, width: 0, data: new Uint8Array(0) }), /0×3 pixels/);
});
