import { readFileSync } from 'node:fs';

/**
 * The convolution cases: N batch, C channels in, K channels out, `in`/`out` spatial sizes, k kernel, s stride, p padding,
 * d dilation, g groups, macs multiply-adds of one forward pass (taps in the padding count). A: inference; B: gradients, batch 16.
 */
export const CASES = JSON.parse(readFileSync(new URL('../cases.json', import.meta.url), 'utf8'));

/** Row-major shapes: x and y are [n, c, …spatial], filters [out, in / groups, …], of transposed convolutions [in, out / groups, …]. */
export function shapesOf(c) {
  const transposed = c.kind.startsWith('convT');
  return {
    x: [c.N, c.C, ...c.in],
    w: transposed ? [c.C, c.K / c.g, ...c.k] : [c.K, c.C / c.g, ...c.k],
    y: [c.N, c.K, ...c.out],
  };
}

/** The contraction of a case, for `contract`. */
export function geometryOf(c) {
  const transposed = c.kind.startsWith('convT');
  return {
    batch: c.N,
    groups: c.g,
    channelsIn: (transposed ? c.K : c.C) / c.g,
    channelsOut: (transposed ? c.C : c.K) / c.g,
    axes: c.in.map((_, s) => ({
      input: transposed ? c.out[s] : c.in[s],
      kernel: c.k[s],
      output: transposed ? c.in[s] : c.out[s],
      stride: c.s[s],
      dilation: c.d[s],
      padLow: c.p[s],
    })),
  };
}
