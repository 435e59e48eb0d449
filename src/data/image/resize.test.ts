import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OptionError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { invertImage, measureBackground, shouldInvert } from './background.js';
import type { DecodedImage } from './decode.js';
import { channelStatistics, normalizeImages } from './normalize.js';
import { preprocessImage, toChannels } from './preprocess.js';
import { centreCrop, resizeImage } from './resize.js';

function randomImage(width: number, height: number, channels: 1 | 3, seed: number): DecodedImage {
  const random = new Random(seed);
  return {
    width,
    height,
    channels,
    data: Uint8Array.from({ length: width * height * channels }, () => random.integer(256)),
  };
}

const side = fc.integer({ min: 1, max: 24 });

/** The share of the unit cell [i, i + 1) inside [low, high). */
const overlap = (i: number, low: number, high: number): number => Math.max(0, Math.min(i + 1, high) - Math.max(i, low));

test('resize: one axis shrinks by area averaging and grows by linear interpolation (plain loops)', () => {
  fc.assert(
    fc.property(
      side,
      side,
      side,
      side,
      fc.constantFrom(1 as const, 3 as const),
      fc.integer(),
      (w, h, toW, toH, channels, seed) => {
        const image = randomImage(w, h, channels, seed);
        const result = resizeImage(image, toW, toH);
        // Weight of source pixel i for output o, straight from the definition.
        const weight = (i: number, o: number, from: number, to: number): number => {
          const step = from / to;
          if (step > 1) return overlap(i, o * step, (o + 1) * step) / step;
          const x = Math.min(Math.max((o + 0.5) * step - 0.5, 0), from - 1);
          return Math.max(0, 1 - Math.abs(x - i));
        };
        for (let y = 0; y < toH; y++) {
          for (let x = 0; x < toW; x++) {
            for (let c = 0; c < channels; c++) {
              let sum = 0;
              for (let v = 0; v < h; v++) {
                for (let u = 0; u < w; u++) {
                  sum += weight(v, y, h, toH) * weight(u, x, w, toW) * image.data[(v * w + u) * channels + c];
                }
              }
              assert.ok(Math.abs(result.data[(y * toW + x) * channels + c] - sum) <= 0.51);
            }
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('resize: the same size gives the same picture; one pixel fills everything; bad sizes are errors', () => {
  const image = randomImage(5, 4, 3, 1);
  assert.deepEqual(resizeImage(image, 5, 4).data, image.data);
  const one = resizeImage({ width: 1, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3) }, 4, 3);
  assert.deepEqual([...one.data], Array.from({ length: 12 }, () => [1, 2, 3]).flat());
  for (const size of [0, -1, 1.5, Number.NaN]) assert.throws(() => resizeImage(image, size, 3), OptionError);
});

test('resize: a region is what cutting it out first gives', () => {
  fc.assert(
    fc.property(fc.integer(), side, side, (seed, toW, toH) => {
      const image = randomImage(20, 15, 1, seed);
      const cut = new Uint8Array(12 * 8);
      for (let y = 0; y < 8; y++) cut.set(image.data.subarray((y + 3) * 20 + 5, (y + 3) * 20 + 17), y * 12);
      if (toW > 12 || toH > 8) return; // growing looks beyond the region's edge
      const region = { left: 5, top: 3, width: 12, height: 8 };
      const expected = resizeImage({ width: 12, height: 8, channels: 1, data: cut }, toW, toH);
      const got = resizeImage(image, toW, toH, region);
      for (let i = 0; i < got.data.length; i++) assert.ok(Math.abs(got.data[i] - expected.data[i]) <= 1);
    }),
    { numRuns: 40 },
  );
});

test('centre crop keeps proportions and stays inside', () => {
  assert.deepEqual(centreCrop({ width: 40, height: 20 }, 10, 10), { left: 10, top: 0, width: 20, height: 20 });
  assert.deepEqual(centreCrop({ width: 20, height: 40 }, 20, 10), { left: 0, top: 15, width: 20, height: 10 });
});

test('grey is Rec. 601 luma; colour repeats grey', () => {
  const data = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255);
  const grey = toChannels({ width: 4, height: 1, channels: 3, data }, 1);
  assert.deepEqual([...grey.data], [76, 150, 29, 255]);
  assert.deepEqual(
    [...toChannels({ width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 9) }, 3).data],
    [7, 7, 7, 9, 9, 9],
  );
  assert.equal(toChannels(grey, 1), grey);
});

test('preprocess: planes of the wanted size from any picture, never the picture itself', () => {
  for (const [width, height, channels] of [
    [1, 1, 1],
    [1, 1, 3],
    [300, 2, 3],
    [3, 200, 1],
    [28, 28, 1],
  ] as const) {
    const image = randomImage(width, height, channels, width);
    for (const fit of ['crop', 'stretch', 'pad'] as const) {
      for (const wanted of [1, 3] as const) {
        const planes = preprocessImage(image, { channels: wanted, height: 28, width: 28, fit });
        assert.equal(planes.length, wanted * 28 * 28);
        assert.notEqual(planes.buffer, image.data.buffer);
      }
    }
  }
  const image: DecodedImage = { width: 2, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  assert.deepEqual([...preprocessImage(image, { channels: 3, height: 1, width: 2 })], [1, 4, 2, 5, 3, 6]);
});

test('fit: crop cuts the long side, stretch keeps it, pad surrounds with the border colour', () => {
  // Columns 0 … 7: black, then white from 6 on; the centre square is columns 2 … 5.
  const data = Uint8Array.from({ length: 8 * 4 }, (_, i) => (i % 8 >= 6 ? 255 : i % 8 < 2 ? 100 : 0));
  const image: DecodedImage = { width: 8, height: 4, channels: 1, data };
  assert.deepEqual([...preprocessImage(image, { channels: 1, height: 4, width: 4 })], new Array(16).fill(0));
  const stretched = preprocessImage(image, { channels: 1, height: 4, width: 4, fit: 'stretch' });
  assert.deepEqual([...stretched.subarray(0, 4)], [100, 0, 0, 255]);
  const padded = preprocessImage(image, { channels: 1, height: 4, width: 4, fit: 'pad' });
  assert.deepEqual([...padded.subarray(4, 8)], [100, 0, 0, 255]);
  const border = data.filter((_, i) => i < 8 || i >= 24 || i % 8 === 0 || i % 8 === 7);
  const mean = Math.round(border.reduce((sum, v) => sum + v, 0) / border.length);
  assert.deepEqual([...padded.subarray(0, 4)], new Array(4).fill(mean));
});

test('inversion: ink on paper for a model of white on black, and nothing else', () => {
  const digit = (ink: number, paper: number): Uint8Array =>
    Uint8Array.from({ length: 100 }, (_, i) => (i % 10 > 3 && i % 10 < 6 && i > 20 && i < 80 ? ink : paper));
  const trained = measureBackground(Uint8Array.from([...digit(255, 0), ...digit(200, 5)]), 10, 10);
  assert.ok(trained.mean < 5 && trained.deviation < 5);
  assert.equal(shouldInvert(digit(0, 250), 10, 10, trained), true);
  assert.equal(shouldInvert(digit(255, 3), 10, 10, trained), false);
  assert.equal(shouldInvert(invertImage(digit(0, 250)), 10, 10, trained), false);
  // The other way round for a model of black on white.
  assert.equal(shouldInvert(digit(255, 3), 10, 10, measureBackground(digit(0, 255), 10, 10)), true);
  // A model of photographs has no plain background, and a busy picture is left alone.
  const noise = randomImage(10, 10, 1, 2).data;
  assert.equal(shouldInvert(digit(0, 250), 10, 10, measureBackground(noise, 10, 10)), false);
  assert.equal(shouldInvert(noise, 10, 10, trained), false);
});

test('statistics and normalisation agree with the formulas', () => {
  const images = randomImage(6, 5, 3, 4).data; // read as [1, 3, 5, 6]
  const plane = 30;
  const statistics = channelStatistics(images, 3, plane);
  for (let c = 0; c < 3; c++) {
    const values = [...images.subarray(c * plane, (c + 1) * plane)].map((v) => v / 255);
    const mean = values.reduce((sum, v) => sum + v, 0) / plane;
    const std = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / plane);
    assert.ok(Math.abs(statistics.mean[c] - mean) < 1e-12 && Math.abs(statistics.std[c] - std) < 1e-12);
  }
  const floats = normalizeImages(images, plane, statistics);
  images.forEach((v, i) => {
    const c = Math.floor(i / plane);
    assert.equal(floats[i], Math.fround((v / 255 - statistics.mean[c]) / statistics.std[c]));
  });
  assert.deepEqual(channelStatistics(new Uint8Array(30), 1, 30), { mean: [0], std: [1] });
  assert.deepEqual(channelStatistics(new Uint8Array(0), 1, 30), { mean: [0], std: [1] });
});
