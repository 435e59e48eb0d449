import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionError } from '../tensor/errors.js';
import { foldIn, keyOfSeed, Random, type RandomKey } from '../tensor/random.js';
import { Augmenter, type AugmentOptions, checkAugment } from './augment.js';
import { ElasticField } from './elastic.js';

/** Mean 0 and deviation 1/255 leave the values 0 … 255 as they are. */
const RAW = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };

const keyOf = (n: number): RandomKey => foldIn(keyOfSeed(42), n);

function apply(
  options: AugmentOptions,
  key: RandomKey,
  image: Uint8Array,
  channels: number,
  height: number,
  width: number,
): Float32Array {
  const out = new Float32Array(image.length);
  new Augmenter(options, { ...RAW, channels, height, width }).apply(image, 0, key, out, 0);
  return out;
}

/** Three planes: the column times 8, the row times 8, and a constant 200. */
function coordinates(side: number): Uint8Array {
  const image = new Uint8Array(3 * side * side);
  for (let p = 0; p < side * side; p++) {
    image[p] = 8 * (p % side);
    image[side * side + p] = 8 * Math.floor(p / side);
    image[2 * side * side + p] = 200;
  }
  return image;
}

test('motion: every output pixel shows the source position that the drawn motion moves there', () => {
  const side = 27;
  const plane = side * side;
  const image = coordinates(side);
  const options: AugmentOptions = { rotate: 40, scale: 0.3, shift: 4, flip: true, crop: 2, fill: 0 };
  let seen = 0;
  let mirrored = 0;
  for (let n = 0; n < 40; n++) {
    const random = new Random(keyOf(n));
    const draw = (range: number): number => (2 * random.uniform() - 1) * range;
    const angle = (draw(40) * Math.PI) / 180;
    const scale = 1 + draw(0.3);
    const shift = [draw(4), draw(4)];
    const mirror = random.uniform() < 0.5;
    const crop = [random.integer(5) - 2, random.integer(5) - 2];
    if (mirror) mirrored++;
    const out = apply(options, keyOf(n), image, 3, side, side);
    const centre = (side - 1) / 2;
    for (let p = 0; p < plane; p++) {
      if (Math.abs(out[2 * plane + p] - 200) > 1e-3) continue; // touches the outside
      const u = out[p] / 8 - crop[0] - centre;
      const v = out[plane + p] / 8 - crop[1] - centre;
      // Forward: turn and scale about the centre, shift, then mirror.
      const x = centre + scale * (Math.cos(angle) * u - Math.sin(angle) * v) + shift[0];
      const y = centre + scale * (Math.sin(angle) * u + Math.cos(angle) * v) + shift[1];
      assert.ok(Math.abs((mirror ? side - 1 - x : x) - (p % side)) < 1e-3, `${n} ${p}`);
      assert.ok(Math.abs(y - Math.floor(p / side)) < 1e-3, `${n} ${p}`);
      seen++;
    }
  }
  assert.ok(seen > 40 * plane * 0.5);
  assert.ok(mirrored > 8 && mirrored < 32);
});

test('flips and crops copy pixels unchanged; each fill is what PyTorch calls it', () => {
  const [height, width] = [6, 5];
  const random = new Random(1);
  const image = Uint8Array.from({ length: 2 * height * width }, () => 1 + random.integer(250));
  const reflect = (i: number, n: number): number => {
    let j = i;
    while (j < 0 || j >= n) j = j < 0 ? -j : 2 * (n - 1) - j;
    return j;
  };
  const offsets = new Set<string>();
  for (const fill of ['edge', 'reflect', 7] as const) {
    for (let n = 0; n < 60; n++) {
      const draws = new Random(keyOf(n));
      for (let i = 0; i < 4; i++) draws.uniform();
      const mirror = draws.uniform() < 0.5;
      const [dx, dy] = [draws.integer(11) - 5, draws.integer(11) - 5];
      offsets.add(`${dx},${dy}`);
      const out = apply({ flip: true, crop: 5, fill }, keyOf(n), image, 2, height, width);
      for (let c = 0; c < 2; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            let u = (mirror ? width - 1 - x : x) + dx;
            let v = y + dy;
            let expected = 7;
            if (fill === 'edge') [u, v] = [Math.min(Math.max(u, 0), width - 1), Math.min(Math.max(v, 0), height - 1)];
            if (fill === 'reflect') [u, v] = [reflect(u, width), reflect(v, height)];
            if (u >= 0 && u < width && v >= 0 && v < height) expected = image[(c * height + v) * width + u];
            assert.ok(Math.abs(out[(c * height + y) * width + x] - expected) < 1e-4);
          }
        }
      }
    }
  }
  assert.ok(offsets.size > 30);
});

test('the result depends on the key only, not on what the augmenter did before', () => {
  const options: AugmentOptions = {
    rotate: 20,
    shift: 3,
    elastic: { alpha: 20, sigma: 3 },
    brightness: 0.3,
    contrast: 0.3,
    erase: 0.3,
  };
  const image = coordinates(15);
  const format = { ...RAW, channels: 3, height: 15, width: 15 };
  const forward = new Augmenter(options, format);
  const backward = new Augmenter(options, format);
  const a = Array.from({ length: 9 }, () => new Float32Array(image.length));
  const b = Array.from({ length: 9 }, () => new Float32Array(image.length));
  for (let n = 0; n < 9; n++) forward.apply(image, 0, keyOf(n), a[n], 0);
  for (let n = 8; n >= 0; n--) backward.apply(image, 0, keyOf(n), b[n], 0);
  assert.deepEqual(a, b);
  assert.notDeepEqual(a[0], a[1]);
});

test('nothing asked for is nothing done, at any place in memory', () => {
  const image = coordinates(8);
  const images = new Uint8Array(3 * image.length).fill(99);
  images.set(image, image.length);
  for (const options of [{}, { shift: 0, rotate: 0, flip: false, fill: 3 }] as AugmentOptions[]) {
    const out = new Float32Array(2 * image.length);
    new Augmenter(options, { ...RAW, channels: 3, height: 8, width: 8 }).apply(
      images,
      image.length,
      keyOf(1),
      out,
      image.length,
    );
    for (let i = 0; i < image.length; i++) assert.ok(Math.abs(out[image.length + i] - image[i]) < 1e-4);
    assert.ok(out.subarray(0, image.length).every((v) => v === 0));
  }
});

test('elastic fields have the stated strength and no direction', () => {
  for (const [height, width, sigma, alpha] of [
    [41, 53, 4, 34],
    [28, 28, 2, 10],
    [31, 19, 2.6, 3],
  ] as const) {
    const field = new ElasticField(height, width, sigma);
    let sum = 0;
    let squares = 0;
    let count = 0;
    for (let n = 0; n < 60; n++) {
      field.draw(new Random(keyOf(n)), alpha);
      for (const axis of [field.x, field.y]) {
        // Away from the border, where the zeros outside weaken the field.
        const inner = Math.min(Math.ceil(3 * sigma), Math.floor((Math.min(height, width) - 1) / 2));
        for (let y = inner; y < height - inner; y++) {
          for (let x = inner; x < width - inner; x++) {
            const d = axis[y * width + x];
            sum += d;
            squares += d * d;
            count++;
          }
        }
      }
    }
    const expected = (alpha * Math.sqrt(1 / 3)) / (2 * Math.sqrt(Math.PI) * sigma);
    const deviation = Math.sqrt(squares / count);
    assert.ok(Math.abs(deviation / expected - 1) < 0.12, `${deviation} for ${expected}`);
    assert.ok(Math.abs(sum / count) < 0.2 * expected);
  }
});

test('elastic smoothing comes close to the Gaussian of the definition (plain loops)', () => {
  // Near the border the boxes lose a little more than the Gaussian does: compare beyond three sigma of it.
  const [height, width, sigma, margin] = [39, 36, 4, 12];
  const smooth = new ElasticField(height, width, sigma);
  const raw = new ElasticField(height, width, 1e-3); // boxes of one pixel
  smooth.draw(new Random(keyOf(5)), 2);
  raw.draw(new Random(keyOf(5)), 1);
  const g = (d: number): number => Math.exp((-d * d) / (2 * sigma * sigma)) / (Math.sqrt(2 * Math.PI) * sigma);
  let error = 0;
  let energy = 0;
  for (let y = margin; y < height - margin; y++) {
    for (let x = margin; x < width - margin; x++) {
      let sum = 0;
      for (let v = 0; v < height; v++)
        for (let u = 0; u < width; u++) sum += g(v - y) * g(u - x) * raw.x[v * width + u];
      error += (smooth.x[y * width + x] - 2 * sum) ** 2;
      energy += (2 * sum) ** 2;
    }
  }
  assert.ok(Math.sqrt(error / energy) < 0.1, `${Math.sqrt(error / energy)}`);
});

test('elastic displacement moves pixels by the field', () => {
  const side = 25;
  const plane = side * side;
  const out = apply({ elastic: { alpha: 30, sigma: 4 }, fill: 0 }, keyOf(3), coordinates(side), 3, side, side);
  const random = new Random(keyOf(3));
  const field = new ElasticField(side, side, 4);
  field.draw(random, 30);
  let seen = 0;
  for (let p = 0; p < plane; p++) {
    if (Math.abs(out[2 * plane + p] - 200) > 1e-3) continue;
    assert.ok(Math.abs(out[p] / 8 - (p % side) - field.x[p]) < 1e-3);
    assert.ok(Math.abs(out[plane + p] / 8 - Math.floor(p / side) - field.y[p]) < 1e-3);
    seen++;
  }
  assert.ok(seen > plane / 2);
});

test('brightness multiplies, contrast stretches about the mean, both stay in 0 … 255', () => {
  const image = Uint8Array.from({ length: 3 * 16 }, (_, i) => 60 + i);
  for (let n = 0; n < 20; n++) {
    const random = new Random(keyOf(n));
    for (let i = 0; i < 7; i++) random.uniform();
    const brightness = 1 + (2 * random.uniform() - 1) * 0.5;
    const contrast = 1 + (2 * random.uniform() - 1) * 0.9;
    const out = apply({ brightness: 0.5, contrast: 0.9 }, keyOf(n), image, 3, 4, 4);
    const mean = image.reduce((sum, v) => sum + v * brightness, 0) / image.length;
    image.forEach((v, i) => {
      const expected = Math.min(255, Math.max(0, mean + contrast * (v * brightness - mean)));
      assert.ok(Math.abs(out[i] - expected) < 1e-2);
    });
  }
});

test('erase covers one square with the mean, cut off at the border', () => {
  const side = 20;
  const image = new Uint8Array(3 * side * side).fill(200);
  const places = new Set<number>();
  for (let n = 0; n < 50; n++) {
    const out = apply({ erase: 0.3 }, keyOf(n), image, 3, side, side);
    const erased = [...out.subarray(0, side * side).keys()].filter((p) => out[p] === 0);
    for (let c = 1; c < 3; c++) for (const p of erased) assert.equal(out[c * side * side + p], 0);
    const columns = new Set(erased.map((p) => p % side));
    const rows = new Set(erased.map((p) => Math.floor(p / side)));
    assert.equal(erased.length, columns.size * rows.size);
    assert.ok(columns.size <= 6 && rows.size <= 6 && columns.size >= 3 && rows.size >= 3);
    places.add(erased[0]);
  }
  assert.ok(places.size > 25);
});

test('unknown options and values out of range are errors', () => {
  const bad: [object, RegExp][] = [
    [{ rotation: 3 }, /augment: unknown option "rotation"; known options are shift, rotate/],
    [{ shift: -1 }, /shift must be at least 0/],
    [{ shift: 99 }, /shift must be at least 0 and at most 28, got 99/],
    [{ scale: 1 }, /scale must be at least 0 and less than 1/],
    [{ crop: 1.5 }, /crop counts whole pixels/],
    [{ flip: 'yes' }, /flip must be true or false/],
    [{ elastic: { alpha: 3 } }, /elastic.sigma must be above 0/],
    [{ elastic: { alpha: 3, sigma: 2, beta: 1 } }, /unknown option "beta"/],
    [{ elastic: { sigma: 2 } }, /elastic.alpha/],
    [{ rotate: Number.NaN }, /rotate/],
    [{ fill: 300 }, /fill must be/],
    [{ fill: 'mirror' }, /fill must be/],
  ];
  for (const [options, message] of bad) {
    assert.throws(
      () => checkAugment(options as AugmentOptions, 28, 28),
      (error) => {
        assert.ok(error instanceof OptionError);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  checkAugment(
    { shift: 2, rotate: 180, scale: 0.9, crop: 28, elastic: { alpha: 0, sigma: 4 }, fill: 'reflect' },
    28,
    28,
  );
});
