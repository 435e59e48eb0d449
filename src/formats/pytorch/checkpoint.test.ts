import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FileError } from '../../tensor/errors.js';
import { type FixtureArray, fixturePath } from '../../testing/fixtures.js';
import { zip } from '../zip.js';
import { parsePytorch, readPytorch } from './checkpoint.js';
import { PickleTuple, type PickleValue, readPickle } from './pickle.js';

const fixture = (name: string): string => fixturePath(`formats/${name}`);
const json = <T>(name: string): T => JSON.parse(readFileSync(fixture(name), 'utf8')) as T;
const plain = { where: 'x', global: forbid, persistent: forbid };

function forbid(): never {
  throw new FileError('not here');
}

test('views, strides and element types are what PyTorch has', async () => {
  const { tensors } = await readPytorch(fixture('views.pt'));
  const expected = json<Record<string, FixtureArray>>('views.json');
  assert.deepEqual([...tensors.keys()].filter((name) => name !== 'half').sort(), Object.keys(expected).sort());
  for (const [name, { shape, data }] of Object.entries(expected)) {
    const t = tensors.get(name);
    assert.deepEqual(t?.shape, shape, name);
    assert.deepEqual([...(t?.data ?? [])], name === 'double' ? data.map(Math.fround) : data, name);
  }
  assert.deepEqual([...(tensors.get('half')?.data ?? [])], [1.5, -2.25, 65504, 2 ** -24, Number.POSITIVE_INFINITY]);
  assert.equal(tensors.get('uint8')?.dtype, 'u8');
  assert.equal(tensors.get('bool')?.dtype, 'bool');
  assert.equal(tensors.get('int8')?.dtype, 'i32');
});

test('nested dictionaries become paths, plain values stand beside', async () => {
  const { tensors, values } = await readPytorch(fixture('training.pt'));
  assert.deepEqual(tensors.get('state_dict.module.0.weight')?.shape, [8, 3, 3, 3]);
  assert.deepEqual([values.get('epoch'), values.get('arch'), values.get('best')], [3, 'net', 0.5]);
  assert.equal(values.get('optimizer.param_groups.0.momentum'), 0.9);
  assert.deepEqual([values.get('accuracy'), values.get('steps'), values.get('rate')], [0.7, 1200, Math.fround(0.1)]);
});

test('what is not data is refused by name, and nothing is executed', async () => {
  const refused = (name: string, pattern: RegExp): Promise<void> =>
    assert.rejects(readPytorch(fixture(name)), (e) => e instanceof FileError && pattern.test(e.message));
  await refused('evil.pt', /refused: the checkpoint wants "(posix|os).system"/);
  assert.ok(!existsSync('/tmp/this-was-executed'));
  await refused('module.pt', /refused: the checkpoint wants "torch.nn.modules.linear.Linear"/);
  await refused('legacy.pt', /old format \(before 1.6\)/);
  await refused('arrays.npz', /no checkpoint of PyTorch/);
  await refused('net.json', /no checkpoint of PyTorch/);
});

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1');

test('pickles of every protocol', () => {
  const cases: [string, PickleValue][] = [
    ['I42\n.', 42],
    ['I01\n.', true],
    ['L-123L\n.', -123],
    ['F1.5\n.', 1.5],
    ["S'abc'\n.", 'abc'],
    ['(lp0\nI1\naI2\na.', [1, 2]],
    ['\x80\x02]q\0(K\x01K\x02e.', [1, 2]],
    ['\x80\x02}q\0X\x01\0\0\0aM\0\x01s.', new Map([['a', 256]])],
    ['\x80\x02\x8a\x02\x00\xff.', -256],
    ['\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.', 2n ** 63n - 1n],
    ['\x80\x04\x95\x05\0\0\0\0\0\0\0K\x01\x94\x85.', new PickleTuple([1])],
    ['\x80\x04(\x8c\x01aK\x01d.', new Map([['a', 1]])],
    ['\x80\x04\x8f(K\x01K\x02\x90.', new Set([1, 2])],
    ['\x80\x03C\x02hi.', ascii('hi')],
    ['\x80\x02G?\xf8\0\0\0\0\0\0.', 1.5],
    ['\x80\x02]q\0h\0\x86.', new PickleTuple([[], []])],
  ];
  for (const [text, value] of cases) {
    const read = readPickle(ascii(text.startsWith('\x80\x02]q\0h') ? '\x80\x02]q\0h\0\x86.' : text), plain);
    assert.deepEqual(
      read instanceof Uint8Array ? new Uint8Array(read) : read,
      value instanceof Uint8Array ? new Uint8Array(value) : value,
      JSON.stringify(text),
    );
  }
});

test('broken pickles are refused', () => {
  const refused = (text: string, pattern: RegExp): void =>
    assert.throws(
      () => readPickle(ascii(text), plain),
      (e) => e instanceof FileError && pattern.test(e.message),
    );
  refused('', /cut short/);
  refused('K', /cut short/);
  refused('.', /stack is empty/);
  refused('t.', /no mark/);
  refused('h\x05.', /nothing numbered 5/);
  refused('X\xff\xff\xff\x7fabc', /2147483647 bytes are wanted/);
  refused('\x8e\xff\xff\xff\xff\xff\xff\xff\xff', /a length of 18446744073709551615/);
  refused('\x8b\xff\xff\xff\x7f', /an integer of 2147483647 bytes/);
  refused('K\x01)R.', /calls what was not imported/);
  refused('(ios\nsystem\n.', /INST/);
  refused('\x80\x09.', /protocol 9/);
  refused('cos\nsystem\n.', /not here/);
  refused('K\x01K\x02a.', /no list/);
  refused('\xff', /0xff is no instruction/);
});

/** A checkpoint with this pickle and one storage "0" of `bytes` bytes. */
const checkpoint = (pickle: string, bytes = 16): Uint8Array =>
  zip(
    [
      ['x/data.pkl', ascii(pickle)],
      ['x/data/0', new Uint8Array(bytes)],
    ],
    false,
  );

const STORAGE = "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ";
const tensor = (offset: number, size: string, stride: string): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${STORAGE}I${offset}\n(${size}t(${stride}tI00\n}tR.`;

test('tensors as newer versions of PyTorch write them', async () => {
  const untyped = STORAGE.replace('ctorch\nFloatStorage', 'ctorch.storage\nUntypedStorage').replace('I4', 'I16');
  const v3 = `ctorch._utils\n_rebuild_tensor_v3\n(${untyped}I1\n(I2\nt(I2\ntI00\n}ctorch\nuint16\n}tR.`;
  assert.deepEqual((await parsePytorch(checkpoint(v3))).tensors.get(''), {
    dtype: 'i32',
    shape: [2],
    data: new Int32Array(2),
  });
  const inner = tensor(0, 'I2\n', 'I1\n').slice(0, -1).replace('ctorch._utils\n_rebuild_tensor_v2\n', '').slice(0, -1);
  const subclass = `ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch.nn.parameter\nParameter\n${inner}}tR.`;
  assert.deepEqual((await parsePytorch(checkpoint(subclass))).tensors.get('')?.shape, [2]);
});

test('numbers of NumPy beside the weights, of every type', async () => {
  for (const [type, order, bytes, expected] of [
    ['f8', '<', [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5],
    ['f8', '>', [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
    ['f4', '<', [0, 0, 0xc0, 0x3f], 1.5],
    ['f2', '<', [0, 0x3e], 1.5],
    ['i8', '<', [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -2],
    ['u8', '<', [0, 0, 0, 0, 1, 0, 0, 0], 2 ** 32],
    ['i4', '>', [0xff, 0xff, 0xff, 0xfe], -2],
    ['u4', '<', [0xff, 0xff, 0xff, 0xff], 2 ** 32 - 1],
    ['i2', '<', [0xfe, 0xff], -2],
    ['u1', '|', [200], 200],
    ['b1', '|', [1], 1],
  ] as const) {
    const dtype = `cnumpy\ndtype\n(S'${type}'\nI0\nI1\ntR(I3\nS'${order}'\nNNNI-1\nI-1\nI0\ntb`;
    const scalar = `cnumpy.core.multiarray\nscalar\n(${dtype}C${String.fromCharCode(bytes.length, ...bytes)}tR`;
    const { values } = await parsePytorch(checkpoint(`}S'steps'\n${scalar}s.`));
    assert.equal(values.get('steps'), expected, `${order}${type}`);
  }
});

test('checkpoints of machines with the other byte order', async () => {
  const bytes = zip(
    [
      ['x/data.pkl', ascii(tensor(0, 'I2\n', 'I1\n'))],
      ['x/byteorder', ascii('big')],
      ['x/data/0', Uint8Array.of(0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    ],
    false,
  );
  assert.deepEqual([...((await parsePytorch(bytes)).tensors.get('')?.data ?? [])], [1, -2]);
});

test('tensors that reach beyond their storage, and storages that are not there', async () => {
  const refused = (bytes: Uint8Array, pattern: RegExp): Promise<void> =>
    assert.rejects(parsePytorch(bytes), (e) => e instanceof FileError && pattern.test(e.message));
  assert.deepEqual((await parsePytorch(checkpoint(tensor(1, 'I3\n', 'I1\n')))).tensors.get('')?.shape, [3]);
  await refused(checkpoint(tensor(2, 'I3\n', 'I1\n')), /reaches beyond its storage of 4 elements/);
  await refused(checkpoint(tensor(0, 'I2\nI2\n', 'I3\nI1\n')), /reaches beyond/);
  await refused(checkpoint(tensor(0, 'I3\n', 'I-1\n')), /whole numbers ≥ 0/);
  await refused(checkpoint(tensor(0, 'I3\n', '')), /as many whole numbers/);
  await refused(checkpoint(tensor(0, 'I4\n', 'I1\n'), 15), /takes 16 bytes, the file has 15/);
  await refused(checkpoint(tensor(0, 'I1000000000\nI1000000\n', 'I0\nI0\n')), /elements in all, but lie in/);
  await refused(checkpoint(tensor(0, 'I4\n', 'I1\n').replace("S'0'", "S'1'")), /lacks its elements, "data\/1"/);
  await refused(checkpoint('(lp0\ng0\na.'), /deep in each other/);
  // Each list holds the one before it twice: 2^40 paths from 200 bytes.
  const laughs = `(lp0\n${Array.from({ length: 40 }, (_, i) => `(lp${i + 1}\ng${i}\nag${i}\na`).join('')}.`;
  await refused(checkpoint(laughs), /more than 2097152 parts/);
});
