import { createHash } from 'node:crypto';
import type { Module } from '../nn/module.js';
import { type Shape, sizeOf } from '../tensor/shape.js';

// Weights and inputs that `scripts/fixtures_models.py` makes alike, so that nobody needs to store them.

function crc32(text: string): number {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc;
}

/** Uniform in [−1, 1), multiples of 2^−23: the finaliser of MurmurHash3 on a counter. */
export function hashedNumbers(key: string, count: number, scale = 1, shift = 0): Float32Array {
  const seed = crc32(key);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(i, 0x9e3779b1) + seed) | 0;
    h ^= h >>> 16;
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
    values[i] = shift + scale * ((h >>> 8) * 2 ** -23 - 1);
  }
  return values;
}

/** As large as in a trained network: He's variance for weights, statistics near 0 and 1. */
function contents(key: string, shape: Shape): Float32Array {
  const name = key.slice(key.lastIndexOf('.') + 1);
  const count = sizeOf(shape);
  if (name === 'num_batches_tracked') return new Float32Array(count);
  if (name === 'running_var') return hashedNumbers(key, count, 0.5, 1);
  if (name === 'weight_g') return hashedNumbers(key, count, 0.2, 1);
  if (name === 'weight' && shape.length === 1) return hashedNumbers(key, count, 0.2, 1.1);
  if (shape.length > 1) return hashedNumbers(key, count, Math.sqrt(6 / sizeOf(shape.slice(1))));
  return hashedNumbers(key, count, 0.1);
}

/** Writes all parameters and buffers of a model. */
export function fillWithHashes(model: Module): void {
  for (const [key, tensor] of Object.entries(model.stateDict())) tensor.write(contents(key, tensor.shape));
}

/** Of all keys and shapes of a state, in order. */
export function stateDigest(model: Module): string {
  const lines = Object.entries(model.stateDict()).map(([key, { shape }]) => `${key} ${shape.join('x')}`);
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
}
