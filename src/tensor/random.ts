/**
 * One counter-based generator for everything: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011, section 4). A number depends on the key and its counter only, never on the order of calls,
 * so results do not depend on threads. Compiled programs draw from the same function (see `ops/random.ts`).
 */

/** Two 32-bit words. */
export type RandomKey = readonly [number, number];

const PARITY = 0x1bd11bda;
/** Rotation distances of Threefry-2x32 (table 2 of the paper). */
export const THREEFRY_ROTATIONS: readonly number[] = [13, 15, 26, 6, 17, 29, 16, 24];

/** Threefry-2x32-20 of the counter `(c0, c1)`; both results are signed 32-bit integers. */
export function threefry2x32(key: RandomKey, c0: number, c1: number): [number, number] {
  const k0 = key[0] | 0;
  const k1 = key[1] | 0;
  const keys = [k0, k1, PARITY ^ k0 ^ k1];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    for (let r = 0; r < 4; r++) {
      const rotation = THREEFRY_ROTATIONS[(group % 2) * 4 + r];
      x0 = (x0 + x1) | 0;
      x1 = (x1 << rotation) | (x1 >>> (32 - rotation));
      x1 ^= x0;
    }
    x0 = (x0 + keys[(group + 1) % 3]) | 0;
    x1 = (x1 + keys[(group + 2) % 3] + group + 1) | 0;
  }
  return [x0, x1];
}

/** The key for a seed: any safe integer. */
export function keyOfSeed(seed: number): RandomKey {
  return [Math.floor(seed / 2 ** 32) | 0, seed | 0];
}

/** An independent key derived from `key` and a number, for example an epoch or a layer index. */
export function foldIn(key: RandomKey, data: number): RandomKey {
  return threefry2x32(key, data, 0x5eed);
}

/** A sequence of numbers from one key, for code outside of compiled programs (shuffling, augmentation, initial weights). */
export class Random {
  #counter = 0;
  #spare: number | undefined;
  readonly key: RandomKey;

  constructor(seedOrKey: number | RandomKey) {
    this.key = typeof seedOrKey === 'number' ? keyOfSeed(seedOrKey) : seedOrKey;
  }

  /** An independent sequence; the same `data` gives the same sequence, however far this one has advanced. */
  fork(data: number): Random {
    return new Random(foldIn(this.key, data));
  }

  /** Uniform in [0, 1), 24 random bits (exact in f32). */
  uniform(low = 0, high = 1): number {
    const bits = threefry2x32(this.key, this.#counter++, 0)[0] >>> 8;
    return low + (high - low) * (bits * 2 ** -24);
  }

  /** Uniform integer in [0, below). */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** Normal with the given mean and standard deviation (Box and Muller, 1958). */
  normal(mean = 0, deviation = 1): number {
    let z = this.#spare;
    if (z === undefined) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      const angle = 2 * Math.PI * this.uniform();
      z = radius * Math.cos(angle);
      this.#spare = radius * Math.sin(angle);
    } else {
      this.#spare = undefined;
    }
    return mean + deviation * z;
  }

  /** A random order of 0 … count−1 (Fisher and Yates). */
  permutation(count: number): Uint32Array {
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const j = this.integer(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
    return order;
  }
}
