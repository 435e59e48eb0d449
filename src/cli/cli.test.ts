import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { decode, encode } from 'fast-png';
import jpeg from 'jpeg-js';
import type { ModelMemory } from '../inspect/index.js';
import { MODELS } from '../models/index.js';
import { type DefaultInstructions, nativeProblem } from '../runtime/backend.js';
import {
  assertFails,
  type CommandResult,
  gabor,
  gaborInside as inside,
  temporaryFolder,
  writeImageFolder,
} from '../testing/command-line.js';
import { DEVICE_NAMES, type DeviceName } from './devices.js';

const home = temporaryFolder();
const bars = writeImageFolder(join(home, 'bars'), ['flat', 'steep', 'upright'], 24);
const small = ['--size', '16', '--threads', '1'];
const trained = join(home, 'trained');
let first: CommandResult;

/** As a process of its own. */
const run = (...args: string[]): Promise<CommandResult> => gabor(args, { cwd: home });

before(async () => {
  first = await run(
    'train',
    '--data',
    bars,
    '--epochs',
    '4',
    ...small,
    '--val-split',
    '0.25',
    '--out',
    trained,
    '--json',
  );
});

test('train --json prints JSON lines alone, the last one says it all', () => {
  assert.equal(first.status, 0, first.stderr);
  const events = first.events();
  assert.deepEqual(
    events.map((event) => event.event).filter((name) => name !== 'step'),
    ['data', 'start', ...Array.from({ length: 4 }, () => ['epoch', 'checkpoint']).flat(), 'done'],
  );
  const epoch = events.find((event) => event.event === 'epoch')!;
  for (const key of ['epoch', 'loss', 'accuracy', 'validationLoss', 'validationAccuracy', 'imagesPerSecond']) {
    assert.equal(typeof epoch[key], 'number', key);
  }
  const done = events[events.length - 1];
  assert.equal(done.event, 'done');
  assert.ok((done.testAccuracy as number) > 0.8, `accuracy ${done.testAccuracy}`);
  assert.equal(done.testCount, 15);
  for (const key of ['model', 'report', 'log', 'checkpoint'])
    assert.ok(existsSync(join(home, done[key] as string)) || existsSync(done[key] as string), key);
  const log = readFileSync(done.log as string, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(log[log.length - 1].testAccuracy, done.testAccuracy);
  assert.ok(log.every((line) => !Number.isNaN(Date.parse(line.time))));
});

test('the report shows the run', () => {
  const page = readFileSync(join(trained, 'report.html'), 'utf8');
  assert.ok(page.length < 500_000, `${page.length} characters`);
  for (const text of [
    'lenet on bars',
    'features.conv1',
    'features.conv2',
    'upright',
    'validation accuracy',
    'Conv2d',
  ]) {
    assert.ok(page.includes(text), text);
  }
  assert.ok([...page.matchAll(/data:image\/png/g)].length > 20);
});

test('train for people: epochs, where things are, and pictures; a folder of its own each time', async () => {
  const cwd = temporaryFolder();
  const more = ['--ema', '0.9', '--mixup', '0.2', '--cutmix', '1'];
  const args = ['train', '--data', bars, '--epochs', '1', ...small, ...more];
  const a = await gabor(args, { cwd });
  const b = await gabor(args, { cwd });
  assert.equal(a.status, 0, a.stderr);
  assert.match(a.stdout, /lenet on bars/);
  assert.match(a.stdout, /epoch 1\/1 +loss \d+\.\d+ +accuracy +\d+\.\d\d % +test loss/);
  assert.match(a.stdout, /test accuracy \d+\.\d\d % on 15 images/);
  assert.match(a.stdout, /runs\/bars-lenet-1\/model\.safetensors/);
  assert.match(a.stdout, /[\u2801-\u28ff]/, 'braille pictures');
  assert.match(b.stdout, /runs\/bars-lenet-2\/model\.safetensors/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: neither bar nor colours where there is no terminal
  assert.doesNotMatch(a.stdout, /[\u001b\r]/);
  // The same seed gives the same bits.
  const weights = (n: number): Buffer => readFileSync(join(cwd, `runs/bars-lenet-${n}/model.safetensors`));
  assert.deepEqual(weights(1), weights(2));
  const report = readFileSync(join(cwd, 'runs/bars-lenet-1/report.html'), 'utf8');
  for (const text of ['mixup 0.2, cutmix 1', 'decay 0.9']) assert.ok(report.includes(text), text);
});

test('colours: FORCE_COLOR turns them on, NO_COLOR off', async () => {
  const coloured = await gabor(['summary', 'lenet'], { env: { FORCE_COLOR: '1' } });
  const plain = await gabor(['summary', 'lenet'], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } });
  assert.ok(coloured.stdout.includes('\u001b['));
  assert.ok(!plain.stdout.includes('\u001b['));
});

test('evaluate agrees with train, and has precision, recall and confusion', async () => {
  const model = join(trained, 'model.safetensors');
  const asJson = await run('evaluate', model, '--data', bars, '--json');
  const asText = await inside('evaluate', model, '--data', bars);
  const all = await inside('evaluate', model, '--data', bars, '--split', 'all', '--json');
  const both = await inside('evaluate', model, '--data', bars, '--mirrored', '--json');
  assert.equal(asJson.status, 0, asJson.stderr);
  const events = asJson.events();
  const result = events[events.length - 1];
  const done = first.events().pop()!;
  assert.equal(result.event, 'evaluated');
  assert.equal(result.accuracy, done.testAccuracy);
  assert.ok(Math.abs((result.loss as number) - (done.testLoss as number)) < 1e-6);
  assert.equal(result.count, 15);
  const confusion = result.confusion as number[][];
  assert.equal(
    confusion.flat().reduce((a, b) => a + b),
    15,
  );
  const perClass = result.perClass as { class: string; precision: number; recall: number }[];
  assert.deepEqual(
    perClass.map((row) => row.class),
    ['flat', 'steep', 'upright'],
  );
  assert.equal(perClass[0].recall, confusion[0][0] / 5);
  assert.match(asText.stdout, /class +precision +recall +F1 +images/);
  assert.match(asText.stdout, /confusion matrix/);
  assert.equal(all.events().pop()!.count, 72);
  const mirrored = both.events().pop()!;
  assert.equal(mirrored.count, 15);
  assert.ok(Math.abs((mirrored.loss as number) - (result.loss as number)) > 1e-5, `${mirrored.loss} ${result.loss}`);
});

test('the reference device computes the same, slowly', async () => {
  const model = join(trained, 'model.safetensors');
  const result = (await inside('evaluate', model, '--data', bars, '--device', 'reference', '--json')).events().pop()!;
  const done = first.events().pop()!;
  assert.equal(result.accuracy, done.testAccuracy);
  assert.ok(Math.abs((result.loss as number) - (done.testLoss as number)) < 1e-4);
});

test('evaluate inverts data whose background is the opposite one, as predict does', async () => {
  const inverted = join(home, 'inverted');
  for (const name of readdirSync(bars)) {
    mkdirSync(join(inverted, name), { recursive: true });
    for (const file of readdirSync(join(bars, name))) {
      const { width, height, channels, data } = decode(readFileSync(join(bars, name, file)));
      const negative = Uint8Array.from(data, (value) => 255 - value);
      writeFileSync(join(inverted, name, file), encode({ width, height, channels, depth: 8, data: negative }));
    }
  }
  const model = join(trained, 'model.safetensors');
  const [plain, negative] = [
    await inside('evaluate', model, '--data', bars, '--split', 'all', '--json'),
    await inside('evaluate', model, '--data', inverted, '--split', 'all', '--json'),
  ];
  assert.equal(plain.events().pop()!.inverted, false);
  assert.equal(negative.events().pop()!.inverted, true);
  assert.match(negative.stderr, /inverted/);
  assert.deepEqual(negative.events().pop()!.confusion, plain.events().pop()!.confusion);
});

test('predict: any size and colour mode, and what cannot be read does not stop the rest', async () => {
  const model = join(trained, 'model.safetensors');
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(home, name), bytes);
    return join(home, name);
  };
  const photo = new Uint8Array(60 * 40 * 4).map((_, i) => (i % 4 === 3 ? 255 : (i * 7) % 256));
  const images = [
    file('photo.jpg', jpeg.encode({ width: 60, height: 40, data: photo }, 90).data),
    file(
      'deep.png',
      encode({ width: 20, height: 30, channels: 1, depth: 16, data: new Uint16Array(600).map((_, i) => i * 100) }),
    ),
    file(
      'alpha.png',
      encode({ width: 5, height: 5, channels: 2, depth: 8, data: new Uint8Array(50).map((_, i) => i * 5) }),
    ),
    file('one.png', encode({ width: 1, height: 1, channels: 1, depth: 8, data: new Uint8Array([128]) })),
    join(bars, 'upright', '0.png'),
  ];
  const result = await run('predict', model, ...images, '--json');
  assert.equal(result.status, 0, result.stderr);
  const events = result.events();
  assert.deepEqual(
    events.map((event) => event.image),
    images,
  );
  for (const event of events) {
    const classes = event.classes as { class: string; probability: number }[];
    assert.equal(event.event, 'predicted');
    assert.equal(classes.length, 3);
    const sum = classes.reduce((total, { probability }) => total + probability, 0);
    assert.ok(Math.abs(sum - 1) < 1e-5, `${sum}`);
    assert.ok(classes.every(({ probability }, i) => i === 0 || probability <= classes[i - 1].probability));
  }
  assert.equal((events[4].classes as { class: string }[])[0].class, 'upright');
  const mixed = await run(
    'predict',
    model,
    join(trained, 'log.jsonl'),
    join(home, 'nowhere.png'),
    images[4],
    '--top',
    '1',
  );
  assertFails(mixed, 1, /log\.jsonl: /, /nowhere\.png: there is no such file/);
  assert.match(mixed.stdout, /upright +\d+\.\d\d %/);
});

test('summary of a network by name and of a file', async () => {
  const named = await inside('summary', 'lenet', '--json');
  const many = await inside('summary', 'lenet', '--batch', '64', '--json');
  const wide = await inside('summary', 'resnet-small', '--input', '3x32x32', '--classes', '5');
  const file = await inside('summary', join(trained, 'model.safetensors'), '--json');
  const wrong = await inside('summary', join(trained, 'model.safetensors'), '--input', '3x16x16');
  const [result] = named.events();
  assert.equal((result.totals as { parameters: number }).parameters, 61_706);
  assert.equal((result.totals as { multiplyAdds: number }).multiplyAdds, 416_520);
  const memory = [named, many].map((result) => result.events()[0].memory as ModelMemory);
  assert.deepEqual(
    memory.map(({ batch }) => batch),
    [1, 64],
  );
  assert.equal(memory[1].forward.inputs - memory[0].forward.inputs, 63 * 4 * 28 * 28);
  assert.match(wide.stdout, /Peak memory for 1 at once on cpu, \w+, \d+ threads?:\nforward +\d+(\.\d+)? [KM]iB: /);
  assert.match(wide.stdout, /^training step +\d+(\.\d+)? [KM]iB: .*without optimizer state$/m);
  assert.match(wide.stdout, /└─Linear fc +64 +5 +325 +320 +20 B +all/);
  assert.deepEqual(file.events()[0].inputShape, [1, 16, 16]);
  assertFails(wrong, 1, /features\.conv1/, /3/);
});

test('tune measures a model once, and says what is fastest for every layer', async (t) => {
  const before = process.env.GABOR_CACHE;
  process.env.GABOR_CACHE = temporaryFolder();
  t.after(() => {
    if (before === undefined) delete process.env.GABOR_CACHE;
    else process.env.GABOR_CACHE = before;
  });
  const model = join(trained, 'model.safetensors');
  const args = ['tune', model, '--batch', '4', '--threads', '1'];
  const result = await inside(...args, '--json');
  assert.equal(result.status, 0, result.stderr);
  const events = result.events();
  const rows = events.filter(({ event }) => event === 'tuned');
  assert.deepEqual(events.at(-1), {
    event: 'total',
    count: rows.length,
    modelMilliseconds: rows.reduce((sum, row) => sum + (row.modelMilliseconds as number), 0),
    milliseconds: rows.reduce((sum, row) => sum + (row.milliseconds as number), 0),
  });
  assert.ok(rows.some(({ scope }) => scope === 'features.conv2'));
  for (const { role, model, best, milliseconds, modelMilliseconds } of rows) {
    assert.equal(role, 'output');
    for (const schedule of [model, best] as string[])
      assert.match(schedule, /^(direct|F\([24], 3\) by \d+,) \d+×\d of \d+$/);
    assert.ok((milliseconds as number) > 0 && (milliseconds as number) <= (modelMilliseconds as number));
  }
  assert.deepEqual((await inside(...args, '--json')).stdout, result.stdout, 'measured again');
  const table = await inside(...args);
  assert.match(table.stdout, /^features\.conv2 +output .*(direct|F\()/m);
  assert.match(table.stdout, /^Together [\d.]+ → [\d.]+ ms/m);
  assertFails(await inside('tune', model, '--device', 'reference'), 2, /only cpu devices/);
  assertFails(await inside('predict', model, 'x.png', '--tune', '--device', 'reference'), 2, /only cpu devices/);
  const tuned = await inside('evaluate', model, '--data', bars, '--tune', '--threads', '1', '--json');
  const plain = await inside('evaluate', model, '--data', bars, '--threads', '1', '--json');
  const [a, b] = [tuned, plain].map((evaluated) => evaluated.events().pop()!);
  assert.ok(Math.abs((a.loss as number) - (b.loss as number)) < 1e-4, `${a.loss} and ${b.loss}`);
});

test('models lists all networks with their costs; summary and train know which are for images', async () => {
  const listed = await inside('models', '--json');
  const text = await inside('models');
  assert.deepEqual(
    listed.events().map(({ name }) => name),
    Object.keys(MODELS),
  );
  const resnet = listed.events().find(({ name }) => name === 'resnet18');
  assert.equal(resnet?.parameters, 11_689_512);
  assert.equal(resnet?.multiplyAdds, 1_814_073_344);
  assert.match(text.stdout, /resnet18 +3×224×224 +11\.7 ?M +1\.81 ?G/);
  const small = await inside('summary', 'resnet20', '--json', '--input', '1x16x16', '--classes', '5');
  assert.deepEqual(small.events()[0].outputShape, [5]);
  const words = await inside('summary', 'textcnn', '--json');
  assert.deepEqual(words.events()[0].inputShape, [56]);
  assertFails(await inside('summary', 'textcnn', '--input', '1x2x3'), 2, /textcnn is for text classification/);
  assertFails(await inside('train', '--data', 'strokes', '--model', 'unet2d'), 1, /"unet2d" is for image segmentation/);
  assertFails(
    await inside('train', '--data', 'strokes', '--train-count', '20', '--test-count', '10', '--model', 'alexnet'),
    1,
    /alexnet: images of 28×28 are too small.*sides must be at least 63/,
  );
});

test('doctor tells what works, what programs are compiled to and why', async () => {
  const folder = temporaryFolder();
  const [asJson, asText, plain, wrong] = await Promise.all([
    gabor(['doctor', '--json'], { env: { GABOR_NATIVE: '1' } }),
    gabor(['doctor'], { env: { GABOR_NATIVE: '1', GABOR_CACHE: folder } }),
    gabor(['doctor'], { env: { GABOR_NATIVE: '0', GABOR_CACHE: '0' } }),
    gabor(['doctor'], { env: { GABOR_NATIVE: 'sse' } }),
  ]);
  const [report] = asJson.events();
  assert.equal(asJson.status, 0);
  assert.equal(report.node, process.version);
  const targets = report.targets as { name: string; works: boolean; detail: string }[];
  const works = (name: DeviceName): boolean =>
    name === 'avx512' || name === 'avx2' ? nativeProblem(name) === undefined : true;
  assert.deepEqual(
    targets.map(({ name, works }) => [name, works]),
    DEVICE_NAMES.map((name) => [name, works(name)]),
  );
  for (const { name, detail } of targets) {
    if (name === 'avx512' || name === 'avx2') assert.ok(detail.includes(nativeProblem(name) ?? 'GFLOP/s'), detail);
  }
  const { instructions, reason } = report.code as DefaultInstructions;
  assert.equal(instructions, (['avx512', 'avx2'] as const).find(works) ?? 'wasm');
  assert.equal(reason, instructions === 'wasm' ? nativeProblem('avx2') : undefined);
  assert.match(asText.stdout, /WebAssembly +SIMD yes/);
  assert.ok(asText.stdout.includes(`${folder}: 0 programs, 0 B`), asText.stdout);
  assert.match(plain.stdout, /Cache +off/);
  assert.match(asText.stdout, instructions === 'wasm' ? /Code +WebAssembly; no/ : /Code +machine code for AVX/);
  if (report.caches !== undefined) assert.match(asText.stdout, /Caches +L1 \d+(\.\d+)? KiB · L2 /);
  assert.match(plain.stdout, /Code +WebAssembly; no machine code: the environment variable GABOR_NATIVE says so/);
  assert.match(plain.stdout, /✓ cpu +cpu, wasm, \d+ thread/);
  assert.equal(wrong.status, 1);
  assert.match(wrong.stdout, /✗ cpu +environment variable GABOR_NATIVE: expected 0.*got "sse"/);
});

test('doctor says why a cache cannot be used', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const shared = join(folder, 'shared');
  mkdirSync(join(shared, 'programs'), { recursive: true });
  chmodSync(join(shared, 'programs'), 0o777);
  const at = (cache: string) => gabor(['doctor'], { env: { GABOR_NATIVE: '0', GABOR_CACHE: cache } });
  const [none, open] = await Promise.all([at(file), at(shared)]);
  assert.match(none.stdout, /Cache +.*file: cannot be used \(ENOTDIR: not a directory.*\); nothing is kept there/);
  if (process.platform !== 'win32')
    assert.match(open.stdout, /Cache +.*shared: cannot be used \(it belongs to others, or others may write to it\)/);
});

test('help and version', async () => {
  const [help, version, nothing] = [await run('--help'), await inside('--version'), await inside()];
  const commands: CommandResult[] = [];
  for (const name of ['train', 'predict', 'evaluate', 'run', 'convert', 'summary', 'tune', 'models', 'doctor'])
    commands.push(await inside(name, '--help'));
  assert.equal(help.status, 0);
  for (const name of ['train', 'predict', 'evaluate', 'run', 'convert', 'summary', 'tune', 'models', 'doctor'])
    assert.match(help.stdout, new RegExp(`^  ${name} `, 'm'));
  assert.equal(version.stdout, '0.1.0\n');
  assert.equal(nothing.status, 2);
  for (const { status, stdout } of commands) {
    assert.equal(status, 0);
    assert.match(stdout, /Examples:\n/);
    assert.ok(
      stdout.split('\n').every((line) => line.length <= 80),
      stdout,
    );
  }
  for (const name of ['lenet', 'vgg-small', 'resnet-small', 'resnet18', 'gabor\\s+models']) {
    assert.match(commands[0].stdout, new RegExp(name));
    assert.match(commands[5].stdout, new RegExp(name));
  }
});

test('wrong command lines: status 2, what was meant, what is allowed', async () => {
  const cases: [args: string[], message: RegExp][] = [
    [['trian'], /unknown command 'trian'[\s\S]*train/],
    [['train', '--data', 'strokes', '--epoch', '3'], /unknown option '--epoch'[\s\S]*--epochs/],
    [['train', '--epochs', '0', '--data', 'strokes'], /--epochs.*whole number of at least 1/],
    [['train', '--epochs', '-3', '--data', 'strokes'], /--epochs.*at least 1/],
    [['train', '--epochs', 'many', '--data', 'strokes'], /--epochs.*at least 1/],
    [['train', '--batch-size', '1.5', '--data', 'strokes'], /--batch-size.*whole number from 1 to 65536/],
    [['train', '--lr', '0', '--data', 'strokes'], /--lr.*above 0/],
    [['train', '--lr', 'NaN', '--data', 'strokes'], /--lr.*above 0/],
    [['train', '--val-split', '1', '--data', 'strokes'], /--val-split.*below 1/],
    [['train', '--threads', '0', '--data', 'strokes'], /--threads.*from 1 to 256/],
    [['train', '--size', '0', '--data', 'strokes'], /--size.*1 to 4096/],
    [['train', '--optimizer', 'adamm', '--data', 'strokes'], /--optimizer.*sgd, adam, adamw/],
    [['train', '--device', 'gpu', '--data', 'strokes'], /--device.*cpu, avx512, avx2, wasm, reference/],
    [['train', '--augment', 'flop', '--data', 'strokes'], /--augment.*"flop"/],
    [['train'], /--data is missing.*strokes/],
    [['train', '--resume'], /--resume needs --out/],
    [['predict', 'model.safetensors'], /missing required argument 'image'/],
    [['predict', 'model.safetensors', 'a.png', '--top', '0'], /--top.*at least 1/],
    [['evaluate', 'model.safetensors'], /--data/],
    [['evaluate', 'm', '--data', 'strokes', '--split', 'some'], /--split.*train, validation, test, all/],
    [['summary', 'lenet', '--input', '1x0x28'], /--input.*1x28x28/],
    [['summary', 'lenet', '--input', '28x28'], /--input.*1x28x28/],
    [['summary', 'lanet'], /no model "lanet"; did you mean lenet\? There are/],
    [['doctor', 'now'], /too many arguments/],
  ];
  for (const [args, message] of cases) assertFails(await inside(...args), 2, message);
  const json = await run('train', '--epochs', '0', '--json');
  assert.deepEqual(
    json.events().map((event) => event.event),
    ['error'],
  );
  assert.match(json.events()[0].message as string, /--epochs/);
});

test('bad data: status 1 and a message that names it', async () => {
  const folder = (name: string): string => join(home, name);
  const junk = writeImageFolder(folder('junk'), ['a', 'b'], 12);
  writeFileSync(join(junk, 'a', 'notes.txt'), 'no image');
  const cut = readFileSync(join(junk, 'b', '0.png'));
  writeFileSync(join(junk, 'b', 'cut.png'), cut.subarray(0, 60));
  const empty = writeImageFolder(folder('empty'), ['a', 'b'], 3);
  mkdirSync(join(empty, 'c'));
  const single = writeImageFolder(folder('single'), ['a'], 3);
  const idx = (count: number, images: number): Uint8Array => {
    const bytes = new Uint8Array(16 + images * 16 * 16);
    new DataView(bytes.buffer).setUint32(0, 0x803);
    [count, 16, 16].forEach((extent, i) => {
      new DataView(bytes.buffer).setUint32(4 + 4 * i, extent);
    });
    return bytes;
  };
  const labels = (count: number): Uint8Array => {
    const bytes = new Uint8Array(8 + count).map((_, i) => i % 2);
    new DataView(bytes.buffer).setUint32(0, 0x801);
    new DataView(bytes.buffer).setUint32(4, count);
    return bytes;
  };
  const writeIdx = (name: string, images: Uint8Array, marks: Uint8Array): string => {
    mkdirSync(folder(name));
    for (const part of ['train', 't10k']) {
      writeFileSync(join(folder(name), `${part}-images-idx3-ubyte.gz`), images);
      writeFileSync(join(folder(name), `${part}-labels-idx1-ubyte.gz`), marks);
    }
    return folder(name);
  };
  const disagree = writeIdx('disagree', gzipSync(idx(20, 20)), gzipSync(labels(19)));
  const torn = writeIdx('torn', gzipSync(idx(20, 20)).subarray(0, 40), gzipSync(labels(20)));
  const train = (data: string, ...more: string[]): Promise<CommandResult> =>
    inside('train', '--data', data, '--epochs', '1', ...small, ...more);
  const skipped = await train(junk, '--out', folder('junk-run'));
  const strict = await train(junk, '--strict');
  const none = await train(empty);
  const one = await train(single);
  const counts = await train(disagree);
  const gzip = await train(torn);
  const nowhere = await train(folder('nowhere'));
  const unfit = await inside('train', '--data', 'strokes', '--test-split', '0.1');
  const file = await train(bars, '--out', join(junk, 'a', 'notes.txt'));
  const below = await train(bars, '--out', join(junk, 'a', 'notes.txt', 'run'));
  assert.equal(skipped.status, 0, skipped.stderr);
  assert.match(skipped.stderr, /skipped 2 files.*--strict/);
  assertFails(strict, 1, /(notes\.txt|cut\.png)/);
  assertFails(none, 1, /class folder is empty/);
  assertFails(one, 1, /only one class/);
  assertFails(counts, 1, /20.*19|19.*20/);
  assertFails(gzip, 1, /gz/);
  assertFails(nowhere, 1, /no such folder/);
  assertFails(unfit, 1, /--test-split/);
  assertFails(file, 1, /notes\.txt: cannot be a run folder/);
  assertFails(below, 1, /run: cannot be a run folder/);
});

test('bad models: status 1 and what is wrong with the file', async () => {
  const bytes = readFileSync(join(trained, 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'));
  const write = (name: string, change: (h: typeof header) => void): string => {
    const copy = structuredClone(header);
    change(copy);
    let text = JSON.stringify(copy);
    text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    writeFileSync(join(home, name), Buffer.concat([size, Buffer.from(text), bytes.subarray(8 + length)]));
    return join(home, name);
  };
  const short = join(home, 'short.safetensors');
  writeFileSync(short, bytes);
  truncateSync(short, bytes.length - 100);
  const reshaped = write('reshaped.safetensors', (h) => {
    h['features.conv1.weight'].shape = [6, 1, 25, 1];
  });
  const unknown = write('unknown.safetensors', (h) => {
    h.__metadata__.architecture = h.__metadata__.architecture.replace('"MaxPool2d"', '"MegaPool2d"');
  });
  const image = join(bars, 'flat', '0.png');
  const results = [
    await inside('predict', short, image),
    await inside('predict', reshaped, image),
    await inside('evaluate', unknown, '--data', bars),
    await inside('summary', join(trained, 'report.html')),
    await inside('predict', join(home, 'nothing.safetensors'), image, '--json'),
  ];
  assertFails(results[0], 1, /short\.safetensors/);
  assertFails(results[1], 1, /features\.conv1\.weight.*\[6, 1, 25, 1\].*\[6, 1, 5, 5\]/);
  assertFails(results[2], 1, /MegaPool2d/);
  assertFails(results[3], 1, /report\.html/);
  assertFails(results[4], 1, /nothing\.safetensors/);
  assert.equal(results[4].events()[0].event, 'error');
});

test('a loss that is no number stops with advice and keeps the last good checkpoint', async () => {
  const out = join(home, 'diverged');
  const result = await inside('train', '--data', bars, ...small, '--optimizer', 'sgd', '--lr', '1e20', '--out', out);
  assertFails(result, 1, /diverged.*lower learning rate/);
  assert.ok(!existsSync(join(out, 'model.safetensors')));
});

test('a run folder is not overwritten, and options after --resume must agree', async () => {
  const again = await inside('train', '--data', bars, '--out', trained);
  const other = await inside('train', '--resume', '--out', trained, '--lr', '0.5', '--seed', '0');
  const finished = await inside('train', '--resume', '--out', trained);
  assertFails(again, 1, /holds a training already.*--resume/);
  assertFails(other, 2, /--lr 0\.5 \(the checkpoint has 0\.002\)/);
  assert.doesNotMatch(other.stderr, /--seed/);
  assertFails(finished, 1, /completed 4 of 4 epochs/);
});

test('Ctrl-C saves a checkpoint; --resume goes on to the same bits', async () => {
  const cwd = temporaryFolder();
  const options = ['--data', bars, ...small, '--epochs', '4', '--batch-size', '4', '--seed', '3', '--json'];
  let killed = false;
  const [whole, stopped] = await Promise.all([
    gabor(['train', ...options, '--out', 'whole'], { cwd }),
    gabor(['train', ...options, '--out', 'parts'], {
      cwd,
      onLine(line, kill) {
        if (killed || !line.includes('"epoch"')) return;
        killed = true;
        kill('SIGINT');
      },
    }),
  ]);
  assert.equal(whole.status, 0, whole.stderr);
  assert.equal(stopped.status, 130, stopped.stderr);
  assert.match(stopped.stderr, /stopping/);
  const last = stopped.events().pop()!;
  assert.equal(last.event, 'interrupted');
  assert.equal(last.resume, 'gabor train --resume --out parts');
  assert.ok(!existsSync(join(cwd, 'parts/model.safetensors')));
  const resumed = await gabor(['train', '--resume', '--out', 'parts', '--threads', '2', '--json'], { cwd });
  assert.equal(resumed.status, 0, resumed.stderr);
  const start = resumed.events().find((event) => event.event === 'start')!;
  assert.ok((start.resumed as { epoch: number }).epoch < 4);
  const weights = (run: string): Buffer => readFileSync(join(cwd, run, 'model.safetensors'));
  // The files differ in nothing: not in weights, not in what they say about the run.
  assert.deepEqual(weights('parts'), weights('whole'));
  assert.equal(resumed.events().pop()!.testAccuracy, whole.events().pop()!.testAccuracy);
});

test('a second Ctrl-C stops at once, in the middle of a step', async () => {
  let sent = 0;
  const long = [
    '--train-count',
    '1000',
    '--batch-size',
    '1000',
    '--epochs',
    '50',
    '--test-count',
    '10',
    '--threads',
    '1',
  ];
  const out = join(home, 'twice');
  const result = await gabor(['train', '--data', 'strokes', '--model', 'vgg-small', ...long, '--out', out, '--json'], {
    onLine(line, kill) {
      if (!line.includes('"start"') || sent > 0) return;
      sent++;
      kill('SIGINT');
      setTimeout(() => kill('SIGINT'), 50);
    },
  });
  assert.equal(result.status, 130);
  assert.ok(!result.events().some((event) => event.event === 'interrupted'));
  assert.ok(!existsSync(join(out, 'checkpoint.safetensors')));
});

test('a disk that is full: the old checkpoint survives', { skip: process.platform === 'win32' }, async () => {
  const out = join(home, 'full');
  const made = await inside('train', '--data', bars, ...small, '--epochs', '1', '--out', out);
  assert.equal(made.status, 0, made.stderr);
  const checkpoint = readFileSync(join(out, 'checkpoint.safetensors'));
  // Files may not grow beyond 20 blocks (of 512 or 1024 bytes): as a full disk, the system refuses to write on.
  const result = await gabor(['train', '--resume', '--out', out, '--epochs', '3'], {
    shell: (command) => `ulimit -f 20; exec ${command}`,
  });
  assertFails(result, 1, /cannot save .*checkpoint\.safetensors/);
  assert.deepEqual(readFileSync(join(out, 'checkpoint.safetensors')), checkpoint);
  assert.deepEqual(
    readdirSync(out).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('GABOR_DEBUG=stack shows where an error came from', async () => {
  const result = await gabor(['predict', 'nowhere.safetensors', 'x.png'], { cwd: home, env: { GABOR_DEBUG: 'stack' } });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /\n\s+at /);
});

test('names of classes and files cannot steer the terminal or the report', async () => {
  const evil = writeImageFolder(join(home, 'evil'), ['<img src=x onerror=alert(1)>', 'b\u001b[31mred'], 10);
  const out = join(home, 'evil-run');
  const result = await inside('train', '--data', evil, '--epochs', '1', ...small, '--out', out);
  assert.equal(result.status, 0, result.stderr);
  assert.ok(!result.stdout.includes('\u001b'));
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  assert.ok(!page.includes('<img src=x'));
  assert.ok(page.includes('&lt;img src=x onerror=alert(1)&gt;'));
  const evaluated = await inside('evaluate', join(out, 'model.safetensors'), '--data', evil);
  assert.equal(evaluated.status, 0, evaluated.stderr);
  assert.ok(!evaluated.stdout.includes('\u001b'));
});

test('a reader that has seen enough is no failure', { skip: process.platform === 'win32' }, async () => {
  const result = await gabor(['summary', 'resnet-small'], {
    shell: (command) => `{ ${command}; echo status $? >&2; } | true`,
  });
  assert.equal(result.stderr, 'status 0\n');
});

const full = existsSync('/dev/full') ? false : 'this system has no /dev/full';
test('output that cannot be written is an error, not a stack trace', { skip: full }, () => {
  const main = fileURLToPath(new URL('main.js', import.meta.url));
  const out = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, [main, 'summary', 'lenet'], {
    stdio: ['ignore', out, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(out);
  assert.equal(stderr, 'error: cannot write the output: the disk is full (ENOSPC)\n');
  assert.equal(status, 1);
});
