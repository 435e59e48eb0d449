import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
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
  assert.ok(totals.multiplyAdds > 340e6 && totals.multiplyAdds < 360e6, `${totals.multiplyAdds}`);
});
