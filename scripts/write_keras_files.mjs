// Writes models of gabor/keras for Keras into a folder, with what they compute: python3 scripts/check_keras_files.py FOLDER compares.
// node scripts/write_keras_files.mjs FOLDER; wants the build in dist/ or GABOR_BUILD.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node scripts/write_keras_files.mjs FOLDER');
const root = process.env.GABOR_BUILD ?? fileURLToPath(new URL('../dist', import.meta.url));
const load = (file) => import(pathToFileURL(resolve(root, file)));
const tf = await load('keras/index.js');
const { KERAS_MODELS, randomized } = await load('testing/keras-models.js');
const fixtures = fileURLToPath(new URL('../tests/fixtures/keras-files/', import.meta.url));
mkdirSync(folder, { recursive: true });

const array = (t) => ({ shape: t.shape, data: [...t.data()] });

const count = (weights) => weights.reduce((sum, { tensor }) => sum + tensor.size, 0);

async function write(name, model, x) {
  await model.save(join(folder, `${name}.keras`));
  await model.saveWeights(join(folder, `${name}.weights.h5`));
  const y = [model.predict(x.length > 1 ? x : x[0])].flat();
  const { layers } = model;
  const facts = {
    x: x.map(array),
    y: y.map(array),
    layers: layers.map((layer) => layer.name),
    parameters: [count(model.trainableWeights), model.countParams()],
  };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(facts));
}

for (const [name, make] of Object.entries(KERAS_MODELS)) {
  const { model, x } = randomized(make);
  await write(`code-${name}`, model, x);
}
const cases = readFileSync(join(fixtures, 'cases.jsonl'), 'utf8').trim().split('\n');
for (const { name, x } of cases.map((text) => JSON.parse(text))) {
  const model = await tf.loadKeras(join(fixtures, `${name}.keras`));
  await write(
    `file-${name}`,
    model,
    x.map(({ shape, data }, i) => tf.tensor(data, shape, model.inputs[i].dtype)),
  );
}
