import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileError, OptionError } from '../tensor/errors.js';
import { toHost } from '../tensor/host-tensor.js';
import { convNet } from '../testing/conv-net.js';
import { assertClose, type FixtureArray, fixturePath, fixtureTensor } from '../testing/fixtures.js';
import { loadModel } from './model-file.js';
import { readNpy } from './npy.js';
import { readNpz, writeNpz } from './npz.js';
import { loadOnnx, saveOnnx } from './onnx/index.js';
import { readPytorch } from './pytorch/checkpoint.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';
import { loadWeights, openWeights } from './weights.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));
const fixture = (name: string): string => fixturePath(`formats/${name}`);
const expected = JSON.parse(readFileSync(fixture('net.json'), 'utf8')) as { input: FixtureArray; output: FixtureArray };

test("PyTorch's weights give PyTorch's logits, from every format", async () => {
  const npz = join(folder, 'net.npz');
  await writeNpz(npz, Object.fromEntries((await readSafetensors(fixture('net.safetensors'))).tensors));
  for (const [path, prefix, tolerance] of [
    [fixture('net.pt'), '', 1e-5],
    [fixture('net.safetensors'), '', 1e-5],
    [fixture('training.pt'), 'state_dict.module.', 1e-5],
    [npz, '', 1e-5],
    [fixture('net-f16.safetensors'), '', 5e-3],
    [fixture('net-bf16.safetensors'), '', 5e-2],
  ] as const) {
    const model = convNet().eval();
    const report = await loadWeights(model, path);
    assert.deepEqual([...report.loaded].sort(), Object.keys(model.stateDict()).sort());
    assert.equal(report.prefix, prefix);
    assertClose(model.forward(fixtureTensor(expected.input)), expected.output, tolerance, path);
  }
});

test('f16 and bf16 are written as PyTorch rounds them', async () => {
  const { tensors } = await readSafetensors(fixture('net.safetensors'));
  for (const floats of ['f16', 'bf16'] as const) {
    const path = join(folder, `${floats}.safetensors`);
    await writeSafetensors(path, Object.fromEntries(tensors), {}, { floats });
    const ours = (await readSafetensors(path)).tensors;
    for (const [name, t] of (await readSafetensors(fixture(`net-${floats}.safetensors`))).tensors) {
      assert.deepEqual(ours.get(name)?.data, t.data, `${floats} ${name}`);
    }
  }
  const huge = { x: { dtype: 'f32', shape: [1], data: Float32Array.of(1e6) } } as const;
  await assert.rejects(writeSafetensors(join(folder, 'x'), huge, {}, { floats: 'f16' }), /outside of the range of f16/);
  await assert.rejects(writeSafetensors(join(folder, 'x'), huge, {}, { floats: 'f8' as 'f16' }), OptionError);
});

test('files without the counters of batch normalisation are whole, as in PyTorch', async () => {
  const model = convNet();
  const state = toHost(model.stateDict());
  const counters = Object.keys(state).filter((name) => name.endsWith('num_batches_tracked'));
  assert.ok(counters.length > 0);
  const without = Object.fromEntries(Object.entries(state).filter(([name]) => !counters.includes(name)));
  const report = await loadWeights(convNet(), without);
  assert.deepEqual(report.missing, []);
  assert.deepEqual([...report.loaded].sort(), Object.keys(without).sort());
});

test('a report says what is missing, unexpected and of another shape', async () => {
  const model = convNet();
  const state = toHost(model.stateDict());
  const { '10.bias': _, ...rest } = state;
  const odd = {
    ...rest,
    'extra.weight': state['10.bias'],
    '0.weight': { dtype: 'f32', shape: [3, 8, 3, 3], data: state['0.weight'].data },
    '1.num_batches_tracked': { dtype: 'f32', shape: [], data: Float32Array.of(0.5) },
  } as const;
  await assert.rejects(loadWeights(model, odd), (e) => {
    assert.ok(e instanceof FileError);
    assert.match(
      e.message,
      /missing: 10.bias; unexpected: extra.weight; of another shape: 0.weight is f32\[3, 8, 3, 3\], expected f32\[8, 3, 3, 3\]/,
    );
    return true;
  });
  const before = model.stateDict()['0.weight'].data();
  const report = await loadWeights(model, odd, { strict: false });
  assert.deepEqual(report.missing, ['10.bias']);
  assert.deepEqual(report.unexpected, ['extra.weight']);
  assert.deepEqual(
    report.mismatched.map(({ name }) => name),
    ['0.weight', '1.num_batches_tracked'],
  );
  assert.deepEqual(model.stateDict()['0.weight'].data(), before);
});

test('prefix and rename choose and name', async () => {
  const state = toHost(convNet().stateDict());
  const filled = { dtype: 'f32', shape: [5], data: new Float32Array(5).fill(3) } as const;
  const other = {
    ...Object.fromEntries(Object.entries(state).map(([k, t]) => [`a.${k}`, t])),
    'b.fc.bias': filled,
    'a.10.bias': filled,
  };
  const model = convNet();
  const report = await loadWeights(model, other, { prefix: 'a.' });
  assert.deepEqual(report.skipped, ['b.fc.bias']);
  assert.deepEqual([...model.stateDict()['10.bias'].data()], [3, 3, 3, 3, 3]);
  const again = convNet();
  const renamed = await loadWeights(again, other, {
    strict: false,
    prefix: 'b.',
    rename: (name) => (name === 'fc.bias' ? '10.bias' : undefined),
  });
  assert.deepEqual(renamed.loaded, ['10.bias']);
  await assert.rejects(
    loadWeights(again, { x: filled, y: filled }, { rename: () => '10.bias' }),
    /two tensors go to "10.bias", one of them "y"/,
  );
  await assert.rejects(loadWeights(again, other, { prefx: 'a' } as object), OptionError);
});

test('open files tell names and shapes without reading elements', async () => {
  const source = await openWeights(fixture('net.pt'));
  assert.deepEqual(source.entries.get('10.weight')?.shape, [5, 96]);
  assert.equal((await source.entries.get('10.weight')?.read())?.data.length, 480);
  await source.close();
  await assert.rejects(openWeights(fixture('legacy.pt')), /old format/);
  await assert.rejects(openWeights(fixture('net.json')), FileError);
  await assert.rejects(openWeights(join(folder, 'nothing')), /there is no such file/);
});

test('files of whole models say what loads them', async () => {
  const onnx = join(folder, 'net.onnx');
  await saveOnnx(onnx, convNet().eval(), { inputs: [expected.input.shape] });
  const renamed = join(folder, 'weights.bin');
  copyFileSync(onnx, renamed);
  const before = convNet();
  const bias = before.stateDict()['10.bias'].data();
  for (const [path, message] of [
    [onnx, /net\.onnx: looks like an ONNX model; .*Use load or loadOnnx/],
    [renamed, /weights\.bin: looks like an ONNX model/],
    [fixturePath('keras-files/images.keras'), /looks like a file of Keras .*Use load or loadKeras/],
    [fixturePath('keras-files/images.h5'), /looks like a file of Keras/],
  ] as const) {
    await assert.rejects(loadWeights(before, path), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof FileError;
    });
  }
  assert.deepEqual(before.stateDict()['10.bias'].data(), bias);
});

test('empty files are called so', async () => {
  const path = join(folder, 'empty');
  writeFileSync(path, '');
  for (const read of [openWeights, readNpy, readNpz, readSafetensors, readPytorch, loadModel, loadOnnx]) {
    await assert.rejects((read as (path: string) => Promise<unknown>)(path), (error: Error) => {
      assert.match(error.message, /empty: the file is empty$/, read.name);
      return error instanceof FileError;
    });
  }
});
