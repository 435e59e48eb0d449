import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import type { DType } from '../tensor/dtype.js';
import { FileError, OptionError } from '../tensor/errors.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { hostTensors } from '../testing/arbitraries.js';
import { fixturePath } from '../testing/fixtures.js';
import { crc32 } from './crc32.js';
import { parseNpy, readNpy, serializeNpy, writeNpy } from './npy.js';
import { parseNpz, readNpz, serializeNpz, writeNpz } from './npz.js';
import { zip } from './zip.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));
const fixture = (name: string): string => fixturePath(`formats/${name}`);

test('what is written is read back', async () => {
  fc.assert(fc.property(hostTensors, (t) => assert.deepEqual(parseNpy(serializeNpy(t)), t)));
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.stringMatching(/^[a-z.]{1,8}$/), hostTensors),
      fc.boolean(),
      async (all, compress) => {
        if (Object.keys(all).some((name) => name.split('/').includes('..'))) return;
        const bytes = serializeNpz(all, { compress });
        assert.deepEqual(Object.fromEntries(await parseNpz(bytes)), { ...all });
        assert.deepEqual(serializeNpz(all, { compress }), bytes);
      },
    ),
    { numRuns: 30 },
  );
});

test('files on disk', async () => {
  const t: HostTensor = { dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) };
  const wide: HostTensor = { dtype: 'f64', shape: [2], data: Float64Array.of(1, 0.1) };
  await writeNpy(join(folder, 'a', 'x.npy'), t);
  assert.deepEqual(await readNpy(join(folder, 'a', 'x.npy')), t);
  assert.deepEqual(parseNpy(serializeNpy(wide)), { ...t, data: Float32Array.of(1, 0.1) });
  await writeNpz(join(folder, 'x.npz'), { t, wide });
  assert.deepEqual((await readNpz(join(folder, 'x.npz'))).get('t'), t);
  await assert.rejects(readNpy(join(folder, 'none.npy')), /none.npy: there is no such file/);
  assert.throws(() => serializeNpz({}, { level: 3 } as object), OptionError);
});

test("NumPy's arrays of every type, byte order and memory order", async () => {
  const arrays = await readNpz(fixture('arrays.npz'));
  const DTYPE: Readonly<Record<string, DType>> = { f: 'f32', i: 'i32' };
  for (const kind of ['f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8']) {
    for (const order of ['little', 'big']) {
      const t = arrays.get(`${order}_${kind}`);
      assert.ok(t, kind);
      assert.equal(t.dtype, kind === 'u1' ? 'u8' : (DTYPE[kind[0]] ?? 'i32'), kind);
      assert.deepEqual(t.shape, [2, 3]);
      assert.deepEqual([...t.data], kind[0] === 'u' ? [0, 1, 2, 3, 4, 5] : [-3, -2, -1, 0, 1, 2], `${order} ${kind}`);
    }
  }
  assert.deepEqual(arrays.get('bool'), { dtype: 'bool', shape: [2, 3], data: Uint8Array.of(1, 0, 1, 0, 1, 0) });
  assert.deepEqual(arrays.get('fortran'), {
    dtype: 'f32',
    shape: [2, 3, 4],
    data: Float32Array.from({ length: 24 }, (_, i) => i),
  });
  assert.deepEqual(arrays.get('scalar'), { dtype: 'f32', shape: [], data: Float32Array.of(2.5) });
  assert.deepEqual(arrays.get('empty')?.shape, [0, 3]);
  const deflated = await readNpz(fixture('deflated.npz'));
  assert.ok(deflated.get('zeros')?.data.every((x) => x === 0));
  assert.deepEqual([...(deflated.get('ramp')?.data ?? [])], [...Array(100).keys()]);
});

test('archives with sizes of 64 bits', async () => {
  const arrays = await readNpz(fixture('zip64.npz'));
  assert.deepEqual([...(arrays.get('a')?.data ?? [])], [...Array(100).keys()]);
  assert.deepEqual([...(arrays.get('b')?.data ?? [])], [0, 1, 2]);
});

/** A `.npy` file with this header text. */
function forge(header: string, data = 0): Uint8Array {
  const head = Buffer.from(`\x93NUMPY\x01\x00\0\0${header}`, 'latin1');
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, new Uint8Array(data)]);
}

test('arrays that cannot be read, and files that lie, are refused', async () => {
  const refused = (bytes: Uint8Array, pattern: RegExp): void =>
    assert.throws(
      () => parseNpy(bytes, 'x.npy'),
      (e) => e instanceof FileError && e.message.startsWith('x.npy') && pattern.test(e.message),
    );
  for (const [name, pattern] of [
    ['objects.npy', /Python objects/],
    ['records.npy', /records with several fields/],
    ['complex.npy', /"<c8" \(complex numbers\)/],
  ] as const) {
    await assert.rejects(readNpy(fixture(name)), (e) => e instanceof FileError && pattern.test(e.message));
  }
  const header = (descr: string, shape: string): string =>
    `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;
  refused(forge(header("'<f4'", '(1000000, 1000000)'), 8), /makes a file of 4000000000\d+ bytes, but this one has/);
  refused(forge(header("'<f4'", '(99999999999999999999,)')), /shape that is none/);
  refused(forge(header("'<f4'", '(2,)'), 9), /makes a file/);
  refused(forge(header("'<f4'", '(2,)'), 7), /makes a file/);
  refused(forge("{'descr': '<f4', 'shape': (2,), }"), /lacks/);
  refused(forge("{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}"), /not one of an array/);
  refused(forge(header("'<U4'", '(2,)')), /texts/);
  refused(new Uint8Array(0), /no .npy file or cut short/);
  refused(serializeNpy({ dtype: 'i32', shape: [3], data: new Int32Array(3) }).subarray(0, 60), /cut short/);
  const big = forge(header("'<i8'", '(1,)'), 8);
  big[big.length - 1] = 1;
  refused(big, /outside of the range of i32/);
});

/** A zip archive of one entry whose directory says what it likes. */
function forgeZip(
  name: string,
  data: Uint8Array,
  claim: { size?: number; crc?: number; method?: number; packed?: number } = {},
): Buffer {
  const { size = data.length, crc = crc32(data), method = 0, packed = data.length } = claim;
  const text = Buffer.from(name);
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(text.length, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  central.writeUInt16LE(method, 10);
  central.writeUInt32LE(crc, 16);
  central.writeUInt32LE(packed, 20);
  central.writeUInt32LE(size, 24);
  central.writeUInt16LE(text.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + text.length, 12);
  end.writeUInt32LE(30 + text.length + data.length, 16);
  return Buffer.concat([local, text, data, central, text, end]);
}

test('zip archives that lie are refused before memory is taken', async () => {
  const npy = serializeNpy({ dtype: 'f32', shape: [4], data: new Float32Array(4) });
  const refused = (bytes: Uint8Array, pattern: RegExp): Promise<void> =>
    assert.rejects(parseNpz(bytes, 'x.npz'), (e) => e instanceof FileError && pattern.test(e.message));
  assert.deepEqual((await parseNpz(forgeZip('a.npy', npy))).get('a')?.shape, [4]);
  for (const name of ['../a.npy', '/etc/a.npy', 'a/../../b.npy', 'C:\\a.npy', '..\\a.npy', '']) {
    await refused(forgeZip(name, npy), /leads out of the archive/);
  }
  await refused(forgeZip('a.npy', npy, { size: 2 ** 31 }), /cannot hold 2147483648 bytes in/);
  await refused(forgeZip('a.npy', npy, { crc: 5 }), /checksum/);
  await refused(forgeZip('a.npy', npy, { method: 12 }), /method 12/);
  await refused(forgeZip('a.npy', npy, { packed: npy.length + 1000, size: npy.length + 1000 }), /overlaps/);
  await refused(forgeZip('a.txt', npy), /no array/);
  const packed = deflateRawSync(npy);
  const honest = { method: 8, size: npy.length, crc: crc32(npy) };
  assert.deepEqual((await parseNpz(forgeZip('a.npy', packed, honest))).get('a')?.shape, [4]);
  await refused(forgeZip('a.npy', packed, { ...honest, size: npy.length + 4 }), /makes a file|unpacks to/);
  await refused(forgeZip('a.npy', packed, { ...honest, size: npy.length - 4 }), /makes a file|unpacks to more/);
  const half = packed.subarray(0, packed.length / 2);
  await refused(forgeZip('a.npy', half, honest), /cannot be unpacked|unpacks to/);
  const whole = Buffer.from(serializeNpz({ a: { dtype: 'f32', shape: [4], data: new Float32Array(4) } }));
  for (let length = 0; length < whole.length; length += 7)
    await refused(whole.subarray(0, length), /zip|damaged|cut short/);
  assert.throws(() => zip([['a', { length: 2 ** 33 } as Uint8Array]], false), /too much for a zip archive/);
});

test('a decompression bomb is refused at once', async () => {
  // 300 MB of zeros in 300 KB.
  const bomb = deflateRawSync(Buffer.alloc(300 * 2 ** 20));
  const path = join(folder, 'bomb.npz');
  writeFileSync(path, forgeZip('a.npy', bomb, { method: 8, size: 300 * 2 ** 20, crc: 0 }));
  const before = process.memoryUsage().rss;
  await assert.rejects(readNpz(path), /decompression bomb/);
  // Claims to be small: unpacking stops where the claim ends.
  writeFileSync(path, forgeZip('a.npy', bomb, { method: 8, size: 1000, crc: 0 }));
  await assert.rejects(readNpz(path), FileError);
  assert.ok(process.memoryUsage().rss - before < 100 * 2 ** 20, 'memory');
  assert.ok(readFileSync(path).length < 400_000);
});
