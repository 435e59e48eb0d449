import assert from 'node:assert/strict';
import { GaborError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';

/** How long each kind of file is tried, in seconds; CI gives more. */
const SECONDS = Number(process.env.GABOR_FUZZ_SECONDS ?? 1);
/** Numbers that lengths and offsets are not expected to be. */
const ODD = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
/** No reading of a small file takes longer, on any machine however busy. */
const LONGEST_MS = 5000;
/** Nor does it leave more behind. */
const MOST_MEMORY = 512 * 2 ** 20;

/** One to four changes of a file: bits, bytes, numbers, lengths, parts. The same numbers make the same changes. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let out = new Uint8Array(bytes);
  for (let changes = 1 + random.integer(4); changes > 0 && out.length > 0; changes--) {
    const at = random.integer(out.length);
    switch (random.integer(7)) {
      case 0:
        out[at] ^= 1 << random.integer(8);
        break;
      case 1:
        out[at] = random.integer(256);
        break;
      case 2: {
        const value = ODD[random.integer(ODD.length)];
        for (let i = 0; i < 4 && at + i < out.length; i++) out[at + i] = value >>> (8 * i);
        break;
      }
      case 3:
        out = out.slice(0, at);
        break;
      case 4:
        out = new Uint8Array([...out.subarray(0, at), ...out.subarray(at + 1 + random.integer(16))]);
        break;
      case 5:
        out = new Uint8Array([...out.subarray(0, at), ...out.subarray(random.integer(out.length))]);
        break;
      default:
        // A digit of a text that tells a number.
        if (out[at] >= 0x30 && out[at] <= 0x39) out[at] = 0x30 + random.integer(10);
        else out[at] = out[random.integer(out.length)];
    }
  }
  return out;
}

/**
 * Reads changed files until the time is over. Every one must be read, or refused with an error of ours; quickly, and in bounded
 * memory. The changes depend on their number alone, which the message names.
 *
 * @param change how to change a file, where the bytes themselves would seldom get past a checksum
 */
export async function fuzz(
  files: readonly (readonly [name: string, bytes: Uint8Array])[],
  read: (bytes: Uint8Array) => unknown,
  change: (bytes: Uint8Array, random: Random) => Uint8Array | Promise<Uint8Array> = mutate,
): Promise<number> {
  const end = performance.now() + SECONDS * 1000;
  const memory = process.memoryUsage().rss;
  let round = 0;
  for (; performance.now() < end || round < 50; round++) {
    const [name, bytes] = files[round % files.length];
    const where = `${name}, change ${round}`;
    const changed = await change(bytes, new Random(round));
    const start = performance.now();
    try {
      await read(changed);
    } catch (error) {
      assert.ok(error instanceof GaborError, `${where}: ${(error as Error).stack}`);
    }
    const took = performance.now() - start;
    assert.ok(took < LONGEST_MS, `${where}: took ${took} ms`);
  }
  const grown = process.memoryUsage().rss - memory;
  assert.ok(grown < MOST_MEMORY, `${grown} bytes more than before`);
  return round;
}
