import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  type Conv2d,
  Dropout,
  Flatten,
  init,
  Linear,
  MaxPool2d,
  type Module,
  Sequential,
} from '../nn/index.js';
import { Block } from './blocks/block.js';
import { basicConv } from './blocks/conv-norm.js';
import { initialized, normalWeights } from './blocks/initialize.js';
import { Trunk } from './blocks/trunk.js';
import { INCEPTION_OPTIONS, type InceptionOptions, inputTransform } from './googlenet.js';
import { channelScale, modelOptions } from './options.js';

type Scale = (channels: number) => number;

/** A line of convolutions: channels, kernel and further options of each. */
type Line = readonly (readonly [channels: number, kernel: number | readonly [number, number], options?: object])[];

/** The convolutions of one line under the names `NAME_1`, `NAME_2`, … */
function line(name: string, inChannels: number, convs: Line): { parts: Record<string, Module>; route: string[] } {
  const parts: Record<string, Module> = {};
  let last = inChannels;
  convs.forEach(([channels, kernel, options], i) => {
    parts[`${name}_${i + 1}`] = basicConv(last, channels, kernel, options);
    last = channels;
  });
  return { parts, route: Object.keys(parts) };
}

const keepMean = (): Module => new AvgPool2d(3, { stride: 1, padding: 1 });
const halve = (): Module => new MaxPool2d(3, { stride: 2 });
const HALVED = { stride: 2, padding: 0 };

function blockA(inChannels: number, pooled: number, scale: Scale): Block {
  const five = line('branch5x5', inChannels, [
    [scale(48), 1],
    [scale(64), 5],
  ]);
  const double = line('branch3x3dbl', inChannels, [
    [scale(64), 1],
    [scale(96), 3],
    [scale(96), 3],
  ]);
  return new Block(
    'InceptionBlock',
    {
      branch1x1: basicConv(inChannels, scale(64), 1),
      ...five.parts,
      ...double.parts,
      pool: keepMean(),
      branch_pool: basicConv(inChannels, scale(pooled), 1),
    },
    { branches: [['branch1x1'], five.route, double.route, ['pool', 'branch_pool']], merge: 'concat' },
  );
}

function blockB(inChannels: number, scale: Scale): Block {
  const double = line('branch3x3dbl', inChannels, [
    [scale(64), 1],
    [scale(96), 3],
    [scale(96), 3, HALVED],
  ]);
  return new Block(
    'InceptionBlock',
    { branch3x3: basicConv(inChannels, scale(384), 3, HALVED), ...double.parts, pool: halve() },
    { branches: [['branch3x3'], double.route, ['pool']], merge: 'concat' },
  );
}

function blockC(inChannels: number, inner: number, scale: Scale): Block {
  const c7 = scale(inner);
  const seven = line('branch7x7', inChannels, [
    [c7, 1],
    [c7, [1, 7]],
    [scale(192), [7, 1]],
  ]);
  const double = line('branch7x7dbl', inChannels, [
    [c7, 1],
    [c7, [7, 1]],
    [c7, [1, 7]],
    [c7, [7, 1]],
    [scale(192), [1, 7]],
  ]);
  return new Block(
    'InceptionBlock',
    {
      branch1x1: basicConv(inChannels, scale(192), 1),
      ...seven.parts,
      ...double.parts,
      pool: keepMean(),
      branch_pool: basicConv(inChannels, scale(192), 1),
    },
    { branches: [['branch1x1'], seven.route, double.route, ['pool', 'branch_pool']], merge: 'concat' },
  );
}

function blockD(inChannels: number, scale: Scale): Block {
  const three = line('branch3x3', inChannels, [
    [scale(192), 1],
    [scale(320), 3, HALVED],
  ]);
  const seven = line('branch7x7x3', inChannels, [
    [scale(192), 1],
    [scale(192), [1, 7]],
    [scale(192), [7, 1]],
    [scale(192), 3, HALVED],
  ]);
  return new Block(
    'InceptionBlock',
    { ...three.parts, ...seven.parts, pool: halve() },
    { branches: [three.route, seven.route, ['pool']], merge: 'concat' },
  );
}

function blockE(inChannels: number, scale: Scale): Block {
  const wide = scale(384);
  return new Block(
    'InceptionBlock',
    {
      branch1x1: basicConv(inChannels, scale(320), 1),
      branch3x3_1: basicConv(inChannels, wide, 1),
      branch3x3_2a: basicConv(wide, wide, [1, 3]),
      branch3x3_2b: basicConv(wide, wide, [3, 1]),
      branch3x3dbl_1: basicConv(inChannels, scale(448), 1),
      branch3x3dbl_2: basicConv(scale(448), wide, 3),
      branch3x3dbl_3a: basicConv(wide, wide, [1, 3]),
      branch3x3dbl_3b: basicConv(wide, wide, [3, 1]),
      pool: keepMean(),
      branch_pool: basicConv(inChannels, scale(192), 1),
    },
    {
      branches: [
        ['branch1x1'],
        ['branch3x3_1', 'branch3x3_2a'],
        ['branch3x3_1', 'branch3x3_2b'],
        ['branch3x3dbl_1', 'branch3x3dbl_2', 'branch3x3dbl_3a'],
        ['branch3x3dbl_1', 'branch3x3dbl_2', 'branch3x3dbl_3b'],
        ['pool', 'branch_pool'],
      ],
      merge: 'concat',
    },
  );
}

/**
 * Inception v3 of Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016:
 * large kernels factorised into rows and columns. As `torchvision.models.inception_v3`: 27,161,264 parameters with the auxiliary
 * head (`auxLogits`, default true), 23,834,568 without.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 75, meant for 299. Dropout 0.5.
 */
export function inceptionV3(options: InceptionOptions = {}): Trunk {
  const where = 'inceptionV3';
  const defaults = { classes: 1000, inChannels: 3, size: 299, least: 75 };
  const { classes, inChannels, random } = modelOptions(where, options, INCEPTION_OPTIONS, defaults);
  const { dropout = 0.5, auxLogits = true } = options;
  const s = channelScale(where, options);
  const afterA = (pooled: number): number => 2 * s(64) + s(96) + s(pooled);
  const b = s(384) + s(96) + afterA(64);
  const c = 4 * s(192);
  const d = s(320) + s(192) + c;
  const e = s(320) + 4 * s(384) + s(192);
  const model = initialized(random, { conv: normalWeights(0.1), linear: normalWeights(0.1) }, () => {
    const aux = (): Module =>
      new Sequential({
        pool: new AvgPool2d(5, { stride: 3 }),
        conv0: basicConv(c, s(128), 1),
        conv1: basicConv(s(128), s(768), 5, { padding: 0 }),
        avgpool: new AdaptiveAvgPool2d(1),
        flatten: new Flatten(),
        fc: new Linear(s(768), classes),
      });
    return new Trunk(
      {
        ...inputTransform(where, options, inChannels),
        Conv2d_1a_3x3: basicConv(inChannels, s(32), 3, HALVED),
        Conv2d_2a_3x3: basicConv(s(32), s(32), 3, { padding: 0 }),
        Conv2d_2b_3x3: basicConv(s(32), s(64), 3),
        maxpool1: halve(),
        Conv2d_3b_1x1: basicConv(s(64), s(80), 1),
        Conv2d_4a_3x3: basicConv(s(80), s(192), 3, { padding: 0 }),
        maxpool2: halve(),
        Mixed_5b: blockA(s(192), 32, s),
        Mixed_5c: blockA(afterA(32), 64, s),
        Mixed_5d: blockA(afterA(64), 64, s),
        Mixed_6a: blockB(afterA(64), s),
        Mixed_6b: blockC(b, 128, s),
        Mixed_6c: blockC(c, 160, s),
        Mixed_6d: blockC(c, 160, s),
        Mixed_6e: blockC(c, 192, s),
        ...(auxLogits ? { AuxLogits: aux() } : {}),
        Mixed_7a: blockD(c, s),
        Mixed_7b: blockE(d, s),
        Mixed_7c: blockE(e, s),
        avgpool: new AdaptiveAvgPool2d(1),
        dropout: new Dropout(dropout, random),
        flatten: new Flatten(),
        fc: new Linear(e, classes),
      },
      auxLogits ? { AuxLogits: 'Mixed_6e' } : {},
    );
  });
  if (auxLogits) {
    init.normal((model.submodule('AuxLogits.conv1.conv') as Conv2d).weight, 0, 0.01, random.random);
    init.normal((model.submodule('AuxLogits.fc') as Linear).weight, 0, 0.001, random.random);
  }
  return model;
}
