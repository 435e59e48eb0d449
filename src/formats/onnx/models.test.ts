import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeImage } from '../../data/image/decode.js';
import { preprocessImage } from '../../data/image/preprocess.js';
import { setDevice } from '../../graph/device.js';
import { summary } from '../../inspect/summary.js';
import { tensor } from '../../ops/create.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { sharedPath } from '../../testing/shared.js';
import { readNpy } from '../npy.js';
import { loadOnnx } from './load.js';

// Real networks, where they are: each agrees with its stored outputs.

const TOLERANCE = 1e-4;
/** A second and more each as WebAssembly; machine code runs them always. */
const LARGE: readonly string[] = ['deeplabv3-mnv2-voc', 'fast-style-starry-night'];

/** Inputs and the outputs expected of them; one model stores every ninth logit and the classes only. */
function pairs(folder: string): { input: string; output: string }[] {
  return readdirSync(folder)
    .filter((name) => /^input.*\.npy$/.test(name))
    .map((name) => ({ input: `${folder}/${name}`, output: `${folder}/${name.replace('input', 'output')}` }));
}

for (const device of TEST_DEVICES.slice(2)) {
  test(`real networks agree with their stored outputs [${device.name}]`, async (t) => {
    const root = sharedPath('models');
    if (root === undefined) {
      t.skip('shared/models is not there');
      return;
    }
    setDevice(device.make());
    const seen: string[] = [];
    for (const name of readdirSync(root)) {
      const folder = `${root}/${name}`;
      const file = readdirSync(folder).find((entry) => entry.endsWith('.onnx'));
      const large = device.name === 'cpu wasm' && TEST_DEVICES.length > 3 && process.env.GABOR_ONNX !== 'all';
      if (file === undefined || (large && LARGE.includes(name))) continue;
      const model = await loadOnnx(`${folder}/${file}`);
      for (const { input, output } of pairs(folder)) {
        const x = await readNpy(input);
        const whole = existsSync(output);
        const expected = await readNpy(whole ? output : `${folder}/output_sub9.npy`);
        const results = await model.run([tensor(Float32Array.from(x.data as Float32Array), { shape: x.shape })]);
        const actual = results[model.outputs[0].name];
        const data = actual.data();
        const step = whole ? 1 : 9;
        // [1, height, width, classes]: every ninth row and column
        const [, , width = 1, classes = 1] = actual.shape;
        const [, columns = 1] = expected.shape.length === 3 ? expected.shape : expected.shape.slice(1);
        const place = (i: number): number => {
          if (whole) return i;
          const c = i % classes;
          const pixel = Math.floor(i / classes);
          return (Math.floor(pixel / columns) * step * width + (pixel % columns) * step) * classes + c;
        };
        let [worst, largest] = [0, 0];
        for (let i = 0; i < expected.data.length; i++) {
          const e = Number(expected.data[i]);
          worst = Math.max(worst, Math.abs(data[place(i)] - e));
          largest = Math.max(largest, Math.abs(e));
        }
        assert.ok(worst <= TOLERANCE * largest, `${name}: differs by ${worst / largest} of the largest`);
        seen.push(`${name} ${(worst / largest).toExponential(1)}`);
      }
      model.dispose();
    }
    t.diagnostic(seen.join(', '));
    assert.ok(seen.length >= 10);
  });
}

test('an imported network has a summary like any other', async (t) => {
  const root = sharedPath('models');
  if (root === undefined) {
    t.skip('shared/models is not there');
    return;
  }
  setDevice(TEST_DEVICES[1].make());
  const model = await loadOnnx(`${root}/squeezenet1.1/model.onnx`);
  const { totals, rows } = summary(model, [3, 224, 224]);
  // As published: 1,235,496 parameters; multiply-adds of the convolutions.
  assert.equal(totals.parameters, 1_235_496);
  assert.equal(rows.filter(({ type }) => type === 'Conv').length, 26);
  assert.equal(rows.find(({ type }) => type === 'Conv')?.kernel, '3×3 stride 2');
  assert.ok(totals.multiplyAdds > 340e6 && totals.multiplyAdds < 360e6, `${totals.multiplyAdds}`);
});

test('SqueezeNet names photos as well as ONNX Runtime does', async (t) => {
  const [models, photos] = [sharedPath('models'), sharedPath('data/imagenet-samples')];
  if (models === undefined || photos === undefined) {
    t.skip('shared/models or shared/data/imagenet-samples is not there');
    return;
  }
  setDevice(TEST_DEVICES[TEST_DEVICES.length - 1].make());
  const classes = readFileSync(`${photos}/classes.txt`, 'utf8').trim().split('\n');
  const model = await loadOnnx(`${models}/squeezenet1.1/model.onnx`);
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ];
  const plane = 224 * 224;
  let [first, five] = [0, 0];
  for (const file of readdirSync(photos).filter((name) => name.endsWith('.JPEG'))) {
    const image = decodeImage(readFileSync(`${photos}/${file}`), file);
    const bytes = preprocessImage(image, { channels: 3, height: 224, width: 224 });
    const x = Float32Array.from(bytes, (v, i) => (v / 255 - mean[Math.floor(i / plane)]) / std[Math.floor(i / plane)]);
    const { out } = await model.run([tensor(x, { shape: [1, 3, 224, 224] })]);
    const scores = out.data();
    const best = Array.from(scores.keys()).sort((i, j) => scores[j] - scores[i]);
    const wanted = classes.indexOf(file.replace(/^n\d+_|\.JPEG$/g, '').replaceAll('_', ' '));
    if (best[0] === wanted) first++;
    if (best.slice(0, 5).includes(wanted)) five++;
  }
  t.diagnostic(`${first} of 20 right, ${five} among the first five`);
  // ONNX Runtime 1.30 with the same pixels: 15 and 17.
  assert.ok(first >= 15 && five >= 17, `${first} and ${five} of 20`);
});
