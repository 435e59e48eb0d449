import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { expectTypeOf } from 'expect-type';
import type { Tensor } from '../tensor/tensor.js';
import {
  AdaptiveAvgPool2d,
  AvgPool3d,
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  Conv1d,
  Conv2d,
  Conv3d,
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
  DepthwiseConv2d,
  Dropout,
  Embedding,
  Flatten,
  GELU,
  GlobalAvgPool2d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm3d,
  type Keeps,
  LazyBatchNorm2d,
  LazyConv2d,
  LazyConvTranspose3d,
  LazyLinear,
  Linear,
  type Maps,
  MaxPool1d,
  MaxPool2d,
  Module,
  Parallel,
  PixelShuffle,
  PReLU,
  ReLU,
  Residual,
  type Same,
  SeparableConv1d,
  SeparableConv2d,
  SeparableConv3d,
  Sequential,
  type Signature,
  sequential,
  Upsample,
} from './index.js';

// What does not hold here does not compile. Nothing computes.

/** What is known of a layer. */
function known<S extends Signature>(_layer: Module<S>): S {
  return undefined as never;
}

test('channels are inferred from the arguments, rank from the class', () => {
  expectTypeOf(new Conv1d(3, 4, 3)).toEqualTypeOf<Conv1d<3, 4>>();
  expectTypeOf(new Conv2d(3, 64, 3)).toEqualTypeOf<Conv2d<3, 64>>();
  expectTypeOf(new Conv3d(3, 4, 3)).toEqualTypeOf<Conv3d<3, 4>>();
  expectTypeOf(new ConvTranspose1d(3, 4, 3)).toEqualTypeOf<ConvTranspose1d<3, 4>>();
  expectTypeOf(new ConvTranspose2d(3, 4, 3)).toEqualTypeOf<ConvTranspose2d<3, 4>>();
  expectTypeOf(new ConvTranspose3d(3, 4, 3)).toEqualTypeOf<ConvTranspose3d<3, 4>>();
  expectTypeOf(new SeparableConv1d(3, 4, 3)).toEqualTypeOf<SeparableConv1d<3, 4>>();
  expectTypeOf(new SeparableConv2d(3, 4, 3)).toEqualTypeOf<SeparableConv2d<3, 4>>();
  expectTypeOf(new SeparableConv3d(3, 4, 3)).toEqualTypeOf<SeparableConv3d<3, 4>>();
  expectTypeOf(new Linear(4, 2)).toEqualTypeOf<Linear<4, 2>>();
  expectTypeOf(new BatchNorm2d(4)).toEqualTypeOf<BatchNorm2d<4>>();
  expectTypeOf(new GroupNorm(2, 4)).toEqualTypeOf<GroupNorm<4>>();
  expectTypeOf(new Embedding(10, 4)).toEqualTypeOf<Embedding<10, 4>>();
  expectTypeOf(new Conv2d(3, 4, 3).inChannels).toEqualTypeOf<3>();
  expectTypeOf(new Conv2d(3, 4, 3).outChannels).toEqualTypeOf<4>();
  expectTypeOf(new Linear(4, 2).outFeatures).toEqualTypeOf<2>();
  expectTypeOf(new BatchNorm2d(4).numFeatures).toEqualTypeOf<4>();

  expectTypeOf(known(new Conv1d(3, 4, 3))).toEqualTypeOf<Maps<3, 4, 1>>();
  expectTypeOf(known(new Conv3d(3, 4, 3))).toEqualTypeOf<Maps<3, 4, 3>>();
  expectTypeOf(known(new SeparableConv2d(3, 4, 3))).toEqualTypeOf<Maps<3, 4, 2>>();
  expectTypeOf(known(new DepthwiseConv2d(3, 3))).toEqualTypeOf<Maps<3, 3, 2>>();
  expectTypeOf(known(new DepthwiseConv2d(3, 3, { depthMultiplier: 2 }))).toEqualTypeOf<Maps<3, number, 2>>();
  expectTypeOf(known(new LazyConv2d(4, 3))).toEqualTypeOf<Maps<number, 4, 2>>();
  expectTypeOf(known(new LazyConvTranspose3d(4, 3))).toEqualTypeOf<Maps<number, 4, 3>>();
  expectTypeOf(known(new LazyLinear(4))).toEqualTypeOf<Maps<number, 4>>();
  expectTypeOf(known(new LazyBatchNorm2d())).toEqualTypeOf<Keeps<2>>();
  expectTypeOf(known(new BatchNorm1d(4))).toEqualTypeOf<Keeps<0 | 1, 4>>();
  expectTypeOf(known(new BatchNorm3d(4))).toEqualTypeOf<Keeps<3, 4>>();
  expectTypeOf(known(new InstanceNorm3d(4))).toEqualTypeOf<Keeps<3, 4>>();
  expectTypeOf(known(new PReLU(4))).toEqualTypeOf<Keeps<number, 4>>();
  expectTypeOf(known(new PReLU())).toEqualTypeOf<Keeps>();
  expectTypeOf(known(new PReLU(1))).toEqualTypeOf<Keeps>();
  expectTypeOf(known(new MaxPool1d(2))).toEqualTypeOf<Keeps<1>>();
  expectTypeOf(known(new AvgPool3d(2))).toEqualTypeOf<Keeps<3>>();
  expectTypeOf(known(new ReLU())).toEqualTypeOf<Keeps>();
  expectTypeOf(known(new Upsample({ scaleFactor: 2 }))).toEqualTypeOf<Keeps>();
  expectTypeOf(known(new Flatten())).toEqualTypeOf<Signature<number, number, number, 0>>();
  expectTypeOf(known(new Flatten(2))).toEqualTypeOf<Signature<number, number, number, number>>();
  expectTypeOf(known(new GlobalAvgPool2d())).toEqualTypeOf<Signature<number, Same, 2, 0>>();
  expectTypeOf(known(new GlobalAvgPool2d({ keepDims: true }))).toEqualTypeOf<Keeps<2>>();
});

test('a class without arguments is of any channels; sizes that a program computes are numbers', () => {
  const width: number = 4;
  expectTypeOf<Conv2d>().toEqualTypeOf<Conv2d<number, number>>();
  expectTypeOf(new Conv2d(3, width, 3)).toEqualTypeOf<Conv2d<3, number>>();
  expectTypeOf(new Conv2d(3, 2 * 2, 3)).toEqualTypeOf<Conv2d<3, number>>();
  let layer: Conv2d = new Conv2d(3, 4, 3);
  layer = new Conv2d(4, width, 3);
  expectTypeOf(layer).toExtend<Module>();
  expectTypeOf<Conv2d<3, 4>>().toExtend<Conv2d>();
  expectTypeOf<Conv2d>().not.toExtend<Conv2d<3, 4>>();
  expectTypeOf<Conv2d<3, 4>>().not.toExtend<Conv2d<3, 8>>();
  expectTypeOf<Sequential<Signature<3, 4, 2, 0>>>().toExtend<Sequential>();
  for (const Layer of [Conv1d, Conv2d, Conv3d]) expectTypeOf(new Layer(1, 1, 1)).toExtend<Module>();
});

class Anything extends Module {
  readonly type = 'Anything';
  forward(x: Tensor): Tensor {
    return x;
  }
}

class Doubling extends Module<Maps<4, 8, 2>> {
  readonly type = 'Doubling';
  forward(x: Tensor): Tensor {
    return x;
  }
}

test('the type of a chain has the channels and the rank of the whole', () => {
  const network = sequential(
    new Conv2d(3, 4, 3),
    new BatchNorm2d(4),
    new ReLU(),
    new MaxPool2d(2),
    new Flatten(),
    new Dropout(),
    new Linear(16, 10),
  );
  expectTypeOf(network).toEqualTypeOf<Sequential<Signature<3, 10, 2, 0>>>();
  assert.ok(network instanceof Sequential);
  assert.equal(network.length, 7);
  expectTypeOf(sequential()).toEqualTypeOf<Sequential<Signature<number, Same, number, Same>>>();
  expectTypeOf(sequential(new ReLU(), new GELU())).toEqualTypeOf<Sequential<Signature<number, Same, number, Same>>>();
  expectTypeOf(sequential(new ReLU(), new MaxPool2d(2), new BatchNorm2d(4))).toEqualTypeOf<
    Sequential<Signature<4, Same, 2, Same>>
  >();
  expectTypeOf(sequential(sequential(new Conv2d(3, 4, 3)), sequential(new Conv2d(4, 5, 3)))).toEqualTypeOf<
    Sequential<Signature<3, 5, 2, Same>>
  >();
  expectTypeOf(sequential(new Conv2d(3, 8, 3), new PixelShuffle(2))).toEqualTypeOf<
    Sequential<Signature<3, number, 2, Same>>
  >();
  const residual = new Residual(sequential(new Conv2d(4, 4, 3), new BatchNorm2d(4)), null, new ReLU());
  expectTypeOf(residual).toEqualTypeOf<Residual<Signature<4, 4, 2, Same>>>();
  expectTypeOf(sequential(new Conv2d(3, 4, 3), residual, new Conv2d(4, 2, 1))).toEqualTypeOf<
    Sequential<Signature<3, 2, 2, Same>>
  >();
  expectTypeOf(new Parallel([new Conv2d(4, 8, 1), new Conv2d(4, 2, 3)])).toEqualTypeOf<Parallel<4>>();
  expectTypeOf(new Parallel({ a: new Conv2d(4, 8, 1), b: new ReLU() })).toEqualTypeOf<Parallel<number>>();
});

test('what a program computes, and layers of which nothing is known, fit', () => {
  const width: number = 4;
  const body: Module[] = [new ReLU()];
  expectTypeOf(sequential(new Conv2d(3, width, 3), new BatchNorm2d(4), new Conv2d(width, 8, 1))).toEqualTypeOf<
    Sequential<Signature<3, 8, 2, Same>>
  >();
  expectTypeOf(sequential(...body)).toEqualTypeOf<Sequential>();
  expectTypeOf(sequential(new Conv2d(3, 4, 3), ...body, new Linear(9, 9))).toEqualTypeOf<
    Sequential<Signature<3, number | Same, 2, number | Same>>
  >();
  expectTypeOf(sequential(new Conv2d(3, 4, 3), new Anything(), new Linear(9, 2))).toEqualTypeOf<
    Sequential<Signature<3, 2, 2, number>>
  >();
  expectTypeOf(sequential(new Conv2d(3, 4, 3), new Doubling(), new Conv2d(8, 1, 1))).toEqualTypeOf<
    Sequential<Signature<3, 1, 2, Same>>
  >();
  sequential(new Conv2d(3, 4, 3), new LazyConv2d(6, 3), new LazyBatchNorm2d(), new Conv2d(6, 2, 3));
  sequential(new Conv2d(3, 4, 3), new AdaptiveAvgPool2d(1), new Flatten(), new Linear(4, 2));
  sequential(new Flatten(), new Linear(16, 4), new BatchNorm1d(4), new Linear(4, 2));
  sequential(new Embedding(10, 4), new Conv1d(4, 2, 3, { dataFormat: 'channels-last' }), new MaxPool1d(2));
  // Channels last, where a linear layer is a convolution with a kernel of 1.
  sequential(new Conv2d(3, 4, 3, { dataFormat: 'channels-last' }), new Linear(4, 8));
  sequential(new Conv2d(3, Math.random() < 2 ? 4 : 5, 3), new BatchNorm2d(4));
});

test('what does not fit is an error', () => {
  // @ts-expect-error 4 channels into 5
  sequential(new Conv2d(3, 4, 3), new ReLU(), new Conv2d(5, 4, 3));
  // @ts-expect-error images into sequences
  sequential(new Conv2d(3, 4, 3), new Conv1d(4, 4, 3));
  // @ts-expect-error images into volumes
  sequential(new MaxPool2d(2), new ReLU(), new AvgPool3d(2));
  // @ts-expect-error features into images
  sequential(new Flatten(), new MaxPool2d(2));
  // @ts-expect-error features into sequences
  sequential(new Flatten(), new InstanceNorm1d(4));
  // @ts-expect-error without a Flatten
  sequential(new Conv2d(3, 4, 3), new MaxPool2d(2), new Linear(64, 10));
  // @ts-expect-error inner chains count
  sequential(new Conv2d(3, 4, 3), sequential(new ReLU(), new BatchNorm2d(3)));
  // @ts-expect-error layers of one's own count
  sequential(new Conv2d(3, 5, 3), new Doubling());
  // @ts-expect-error what a union cannot be
  sequential(new Conv2d(3, Math.random() < 2 ? 4 : 5, 3), new BatchNorm2d(6));
  // @ts-expect-error not a layer
  assert.throws(() => sequential(new ReLU(), 'Conv2d'), /is not a module/);
});

const LAYERS = (count: number): string => Array.from({ length: count }, () => 'new BatchNorm2d(4)').join(', ');

/** Programs, with a mark before the layer that does not fit, its type, and what is wrong with it. */
const REJECTED: readonly (readonly [program: string, type: string, message: string])[] = [
  [
    'sequential(new BatchNorm2d(16), ▸new Conv2d(32, 64, 3), new Conv2d(1, 1, 1))',
    'Conv2d<32, 64>',
    'Conv2d<32, 64> expects 32 channels, but BatchNorm2d<16> before it gives 16',
  ],
  [
    'sequential(new Conv2d(3, 16, 3), new ReLU(), new LazyConv2d(4, 1), ▸new ConvTranspose2d(8, 2, 3))',
    'ConvTranspose2d<8, 2>',
    'ConvTranspose2d<8, 2> expects 8 channels, but LazyConv2d before it gives 4',
  ],
  [
    'sequential(new Conv2d(3, 16, 3), ▸new Conv1d(16, 64, 3))',
    'Conv1d<16, 64>',
    'Conv1d<16, 64> expects sequences [batch, channels, length], but Conv2d<3, 16> before it gives images [batch, channels, height, width]',
  ],
  [
    'sequential(new Conv2d(3, 16, 3), new MaxPool2d(2), ▸new Linear(1024, 10))',
    'Linear<1024, 10>',
    'Linear<1024, 10> expects 1024 features, but MaxPool2d before it gives 16 channels of images [batch, channels, height, width]; a Flatten goes in between',
  ],
  [
    'sequential(new Flatten(), new Linear(1024, 20), new ReLU(), ▸new Linear(30, 10))',
    'Linear<30, 10>',
    'Linear<30, 10> expects 30 features, but ReLU before it gives 20',
  ],
  [
    'sequential(new Flatten(), ▸new MaxPool2d(2))',
    'MaxPool2d',
    'MaxPool2d expects images [batch, channels, height, width], but Flatten before it gives features [batch, features]',
  ],
  [
    'sequential(new Conv3d(3, 16, 3), ▸new BatchNorm1d(16))',
    'BatchNorm1d<16>',
    'BatchNorm1d<16> expects features or sequences [batch, channels, length], but Conv3d<3, 16> before it gives volumes [batch, channels, depth, height, width]',
  ],
  [
    `sequential(${LAYERS(200)}, ▸new GroupNorm(1, 5))`,
    'GroupNorm<5>',
    'GroupNorm<5> expects 5 channels, but BatchNorm2d<4> before it gives 4',
  ],
];

test('the compiler points at the layer and says what was expected', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-types-'));
  try {
    const names = [...new Set(REJECTED.flatMap(([program]) => program.match(/(?<=new )\w+/g) ?? []))];
    const programs = REJECTED.map(([program]) => `${program.replace('▸', '')};`);
    writeFileSync(
      join(folder, 'program.ts'),
      [`import { sequential, ${names.join(', ')} } from 'gabor';`, ...programs, ''].join('\n'),
    );
    const require = createRequire(import.meta.url);
    const compilerOptions = {
      target: 'ES2022',
      module: 'NodeNext',
      lib: ['ES2022', 'ES2024.SharedMemory', 'ESNext.Disposable'],
      types: ['node'],
      typeRoots: [dirname(dirname(require.resolve('@types/node/package.json')))],
      paths: { gabor: [fileURLToPath(new URL('../index.d.ts', import.meta.url))] },
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    };
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '--pretty', 'false'], { cwd: folder, encoding: 'utf8' });
    const expected = REJECTED.map(([program, type, message], i) => {
      const place = `program.ts(${i + 2},${program.indexOf('▸') + 1})`;
      return `${place}: error TS2345: Argument of type '${type}' is not assignable to parameter of type '"${message}"'.`;
    });
    assert.deepEqual(stdout.trim().split('\n'), expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
