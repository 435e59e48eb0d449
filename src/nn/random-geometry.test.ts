import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { sum } from '../ops/broadcast.js';
import { mul, sub } from '../ops/elementwise.js';
import { cpuDevice } from '../runtime/cpu-device.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { distinctTensor, randomTensor, seeds } from '../testing/arbitraries.js';
import { EXACT, INSTRUCTIONS } from '../testing/devices.js';
import type { LayerConfig } from './config.js';
import { moduleFromConfig } from './registry.js';

// Layers over random geometry: rank, extents of one, kernels larger than the input, stride × dilation × padding, groups,
// both data formats.

/** With 1, 2 and 4 threads, for all that programs can be compiled to. */
const teams = INSTRUCTIONS.map((instructions) => [1, 2, 4].map((threads) => cpuDevice({ threads, instructions })));
after(() => Promise.all(teams.flat().map((device) => device.close())));

interface Case {
  readonly config: LayerConfig;
  /** of the input, in the layer's data format */
  readonly shape: Shape;
}

/** One number per spatial axis, and what all kinds draw from. */
const geometry = (extents: readonly number[], channels: number) =>
  fc.integer({ min: 1, max: extents.length }).chain((rank) => {
    const each = (max: number, min = 1) =>
      fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank }) as fc.Arbitrary<number[]>;
    return fc.record({
      rank: fc.constant(rank),
      batch: fc.integer({ min: 1, max: 2 }),
      groups: fc.integer({ min: 1, max: 2 }),
      channels: fc.integer({ min: 1, max: channels }),
      outChannels: fc.integer({ min: 1, max: channels }),
      inputs: each(extents[rank - 1]),
      kernel: each(3),
      stride: each(3),
      dilation: each(2),
      low: each(2, 0),
      high: each(2, 0),
      flag: fc.boolean(),
      last: fc.boolean(),
    });
  });

type Drawn = ReturnType<typeof geometry> extends fc.Arbitrary<infer D> ? D : never;

/** The padding of every axis, with as much more behind as the kernel needs. */
function roomy(d: Drawn): [number, number][] {
  return d.inputs.map((input, s) => {
    const short = d.dilation[s] * (d.kernel[s] - 1) + 1 - input - d.low[s] - d.high[s];
    return [d.low[s], d.high[s] + Math.max(0, short)];
  });
}

/** Sides as padding layers take them: the last axis first. */
const sides = (d: Drawn, most: (axis: number) => number): number[] =>
  d.inputs.flatMap((_, i) => {
    const s = d.rank - 1 - i;
    return [Math.min(d.low[s], most(s)), Math.min(d.high[s], most(s))];
  });

/** Layers whose results are sums of inputs, given their weights. */
const LINEAR: Record<string, (d: Drawn) => LayerConfig> = {
  conv: ({ rank, groups, channels, outChannels, kernel, stride, dilation, flag, ...d }) => ({
    type: `Conv${rank}d`,
    inChannels: groups * channels,
    outChannels: groups * outChannels,
    kernelSize: kernel,
    stride,
    dilation,
    groups,
    bias: false,
    padding: flag ? 'same' : roomy({ rank, groups, channels, outChannels, kernel, stride, dilation, flag, ...d }),
  }),
  depthwise: ({ rank, groups, channels, kernel, stride }) => ({
    type: `DepthwiseConv${rank}d`,
    inChannels: groups * channels,
    kernelSize: kernel,
    stride,
    bias: false,
    padding: 'same',
  }),
  transposed: ({ rank, groups, channels, outChannels, kernel, stride, dilation, flag }) => ({
    type: `ConvTranspose${rank}d`,
    inChannels: groups * channels,
    outChannels: groups * outChannels,
    kernelSize: kernel,
    stride,
    dilation,
    groups,
    bias: false,
    ...(flag ? { padding: 'same' } : { outputPadding: stride.map((s, i) => Math.max(s, dilation[i]) - 1) }),
  }),
  average: ({ rank, kernel, stride, flag }) => ({
    type: `AvgPool${rank}d`,
    kernelSize: kernel,
    stride,
    padding: 'same',
    countIncludePad: flag,
  }),
  adaptive: ({ rank, kernel }) => ({ type: `AdaptiveAvgPool${rank}d`, outputSize: kernel }),
  reflect: (d) => ({ type: `ReflectionPad${d.rank}d`, padding: sides(d, (s) => d.inputs[s] - 1) }),
  replicate: (d) => ({ type: `ReplicationPad${d.rank}d`, padding: sides(d, () => 2) }),
  circular: (d) => ({ type: `CircularPad${d.rank}d`, padding: sides(d, (s) => d.inputs[s]) }),
  zeros: (d) => ({ type: `ZeroPad${d.rank}d`, padding: sides(d, () => 2) }),
  resize: ({ rank, kernel, flag }) => ({
    type: 'Upsample',
    size: kernel.map((k, s) => k + s),
    mode: flag ? 'nearest' : ['linear', 'bilinear', 'trilinear'][rank - 1],
  }),
  shuffle: ({ groups }) => ({ type: 'ChannelShuffle', groups }),
};

/** The others. */
const CURVED: Record<string, (d: Drawn) => LayerConfig> = {
  max: ({ rank, kernel, stride, flag }) => ({
    type: `MaxPool${rank}d`,
    kernelSize: kernel,
    stride,
    padding: flag ? 'same' : kernel.map((k) => [k - 1 > k / 2 ? 1 : k - 1, Math.floor(k / 2)]),
    ceilMode: !flag,
  }),
  norm: ({ rank, kernel, stride }) => ({
    type: `LPPool${rank}d`,
    normType: 2,
    kernelSize: kernel,
    stride,
    padding: 'same',
  }),
  adaptiveMax: ({ rank, kernel }) => ({ type: `AdaptiveMaxPool${rank}d`, outputSize: kernel }),
  batch: ({ rank, groups, channels }) => ({ type: `BatchNorm${rank}d`, numFeatures: groups * channels }),
  instance: ({ rank, groups, channels }) => ({
    type: `InstanceNorm${rank}d`,
    numFeatures: groups * channels,
    affine: true,
  }),
  group: ({ groups, channels }) => ({ type: 'GroupNorm', numGroups: groups, numChannels: groups * channels }),
  response: () => ({ type: 'LocalResponseNorm', size: 3, alpha: 0.5, k: 2 }),
  slope: ({ groups, channels }) => ({ type: 'PReLU', numParameters: groups * channels }),
};

function caseOf(kind: (d: Drawn) => LayerConfig, d: Drawn): Case {
  const config = kind(d);
  // Statistics of one value are an error, of two only the sign.
  const inputs = /BatchNorm|InstanceNorm|GroupNorm/.test(config.type) ? d.inputs.map((n) => n + 2) : d.inputs;
  const channels = d.groups * d.channels;
  return d.last
    ? { config: { ...config, dataFormat: 'channels-last' }, shape: [d.batch, ...inputs, channels] }
    : { config, shape: [d.batch, channels, ...inputs] };
}

const inner = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b));

for (const [name, kind] of Object.entries({ ...LINEAR, ...CURVED })) {
  test(`first and second derivatives over random geometry: ${name}`, () => {
    setDevice(EXACT.make());
    fc.assert(
      fc.property(geometry([4, 2, 2], 2), seeds, (drawn, seed) => {
        const { config, shape } = caseOf(kind, { ...drawn, batch: 1 });
        const layer = moduleFromConfig(config);
        const cube = (x: Tensor): Tensor => mul(x, mul(x, x));
        // Steeper than the layer, so that second derivatives are not zero; monotonic, so that no maximum moves.
        checkGradients((x) => layer.forward(cube(x)), [distinctTensor(shape, seed)], {
          order: 2,
          seed,
          tolerance: 1e-5,
        });
      }),
      { numRuns: 6 },
    );
  });
}

for (const [name, kind] of Object.entries(LINEAR)) {
  test(`the adjoint identity over random geometry: ${name}`, () => {
    setDevice(EXACT.make());
    fc.assert(
      fc.property(geometry([9, 5, 3], 3), seeds, (drawn, seed) => {
        const { config, shape } = caseOf(kind, drawn);
        const layer = moduleFromConfig(config);
        const [x, z] = [randomTensor(shape, seed), randomTensor(shape, seed + 1)];
        const result = layer.forward(x);
        const y = randomTensor(result.shape, seed + 2);
        const transposed = compile((at: Tensor, g: Tensor) => gradients(inner(layer.forward(at), g), [at]));
        // ⟨A x, y⟩ = ⟨x, Aᵀ y⟩, where Aᵀ is what flows back, at any other point.
        const [back] = transposed.sync(z, y);
        const [left, right] = [inner(result, y).item(), inner(x, back).item()];
        assert.ok(Math.abs(left - right) < 1e-9 * Math.max(1, Math.abs(left)), `${left} and ${right}`);
        const apart = sub(layer.forward(x), layer.forward(z));
        const together = layer.forward(sub(x, z));
        apart.data().forEach((value, i) => {
          assert.ok(Math.abs(value - together.data()[i]) < 1e-9);
        });
        transposed.dispose();
      }),
      { numRuns: 10 },
    );
  });
}

test('1, 2 and 4 threads give the same bits, results and gradients', () => {
  const kinds = fc.constantFrom(...Object.values(LINEAR), ...Object.values(CURVED));
  fc.assert(
    fc.property(kinds, geometry([300, 24, 9], 20), seeds, fc.constantFrom(...teams), (kind, drawn, seed, devices) => {
      const { config, shape } = caseOf(kind, drawn);
      const [one, ...more] = devices.map((device) => {
        setDevice(device);
        const layer = moduleFromConfig(config);
        for (const [i, parameter] of layer.parameters().entries()) {
          parameter.write(randomTensor(parameter.shape, seed + 1 + i).data());
        }
        const program = compile((x: Tensor) => {
          const y = layer.forward(x);
          return [y, ...gradients(sum(mul(y, mul(y, y))), [x, ...layer.parameters()])];
        });
        const results = program.sync(randomTensor(shape, seed));
        const bits = results.map((t) => Buffer.from(Float32Array.from(t.data()).buffer).toString('base64'));
        program.dispose();
        layer.dispose();
        return bits;
      });
      for (const other of more) assert.deepEqual(other, one);
    }),
    { numRuns: Number(process.env.GABOR_RUNS ?? 24) },
  );
});
