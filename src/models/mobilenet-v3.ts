import {
  AdaptiveAvgPool2d,
  Dropout,
  Flatten,
  Hardsigmoid,
  Hardswish,
  Linear,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { convNorm } from './blocks/conv-norm.js';
import { heFanOut, initialized, normalWeights } from './blocks/initialize.js';
import { squeezeExcitation } from './blocks/squeeze-excitation.js';
import { invertedResidual, type MobilenetOptions } from './mobilenet-v2.js';
import { IMAGENET, makeDivisible, mobileScale, modelOptions, SCALABLE_OPTIONS } from './options.js';

type Row = readonly [
  inChannels: number,
  kernel: number,
  expanded: number,
  outChannels: number,
  squeeze: boolean,
  activation: 'RE' | 'HS',
  stride: number,
];

/** Tables 1 and 2 of the paper. */
const ROWS: Readonly<Record<'large' | 'small', readonly Row[]>> = {
  large: [
    [16, 3, 16, 16, false, 'RE', 1],
    [16, 3, 64, 24, false, 'RE', 2],
    [24, 3, 72, 24, false, 'RE', 1],
    [24, 5, 72, 40, true, 'RE', 2],
    [40, 5, 120, 40, true, 'RE', 1],
    [40, 5, 120, 40, true, 'RE', 1],
    [40, 3, 240, 80, false, 'HS', 2],
    [80, 3, 200, 80, false, 'HS', 1],
    [80, 3, 184, 80, false, 'HS', 1],
    [80, 3, 184, 80, false, 'HS', 1],
    [80, 3, 480, 112, true, 'HS', 1],
    [112, 3, 672, 112, true, 'HS', 1],
    [112, 5, 672, 160, true, 'HS', 2],
    [160, 5, 960, 160, true, 'HS', 1],
    [160, 5, 960, 160, true, 'HS', 1],
  ],
  small: [
    [16, 3, 16, 16, true, 'RE', 2],
    [16, 3, 72, 24, false, 'RE', 2],
    [24, 3, 88, 24, false, 'RE', 1],
    [24, 5, 96, 40, true, 'HS', 2],
    [40, 5, 240, 40, true, 'HS', 1],
    [40, 5, 240, 40, true, 'HS', 1],
    [40, 5, 120, 48, true, 'HS', 1],
    [48, 5, 144, 48, true, 'HS', 1],
    [48, 5, 288, 96, true, 'HS', 2],
    [96, 5, 576, 96, true, 'HS', 1],
    [96, 5, 576, 96, true, 'HS', 1],
  ],
};

const NORM = { eps: 0.001, momentum: 0.01 };
const hardswish = (): Module => new Hardswish();

function block(row: Row, scale: (channels: number) => number, dilation: number): Module {
  const [before, kernel, wide, after, squeeze, kind, stride] = row;
  const [inChannels, expanded, outChannels] = [before, wide, after].map(scale);
  const activation = kind === 'HS' ? hardswish : () => new ReLU();
  const body = new Sequential(
    ...(expanded === inChannels ? [] : [convNorm(inChannels, expanded, 1, { norm: NORM, activation })]),
    convNorm(expanded, expanded, kernel, {
      stride: dilation > 1 ? 1 : stride,
      dilation,
      groups: expanded,
      norm: NORM,
      activation,
    }),
    ...(squeeze
      ? [
          squeezeExcitation(
            expanded,
            makeDivisible(Math.floor(expanded / 4)),
            () => new ReLU(),
            () => new Hardsigmoid(),
          ),
        ]
      : []),
    convNorm(expanded, outChannels, 1, { norm: NORM, activation: null }),
  );
  return invertedResidual('InvertedResidual', 'block', body, stride === 1 && inChannels === outChannels);
}

/**
 * The layers in front of the pooling, and the channels after each of them.
 *
 * @param dilated The last stage has the resolution of the one before, and sees as far by dilation: for segmentation.
 */
export function mobilenetV3Features(
  size: 'large' | 'small',
  inChannels: number,
  scale: (channels: number) => number,
  dilated = false,
): { layers: Module[]; channels: number[] } {
  const rows = ROWS[size];
  // The rows with the last stride, and all after it.
  const from = rows.length - 3;
  const first = scale(rows[0][0]);
  const last = scale(rows[rows.length - 1][3]);
  return {
    layers: [
      convNorm(inChannels, first, 3, { stride: 2, norm: NORM, activation: hardswish }),
      ...rows.map((row, i) => block(row, scale, dilated && i >= from ? 2 : 1)),
      convNorm(last, 6 * last, 1, { norm: NORM, activation: hardswish }),
    ],
    channels: [first, ...rows.map((row) => scale(row[3])), 6 * last],
  };
}

function mobilenetV3(where: string, size: 'large' | 'small', options: MobilenetOptions): Sequential {
  const { classes, inChannels, random } = modelOptions(where, options, [...SCALABLE_OPTIONS, 'dropout'], IMAGENET);
  const { dropout = 0.2 } = options;
  const scale = mobileScale(where, options);
  return initialized(random, { conv: heFanOut, linear: normalWeights(0.01) }, () => {
    const { layers, channels } = mobilenetV3Features(size, inChannels, scale);
    const hidden = scale(size === 'large' ? 1280 : 1024);
    return new Sequential({
      features: new Sequential(...layers),
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      classifier: new Sequential(
        new Linear(channels[channels.length - 1], hidden),
        new Hardswish(),
        new Dropout(dropout, random),
        new Linear(hidden, classes),
      ),
    });
  });
}

/**
 * MobileNet v3, large, of Howard et al., "Searching for MobileNetV3", ICCV 2019: inverted residuals with squeeze and excitation, hard
 * swish. As `torchvision.models.mobilenet_v3_large`: 5,483,032 parameters. With `widthMult` channels are rounded to multiples of 8.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 224.
 */
export function mobilenetV3Large(options: MobilenetOptions = {}): Sequential {
  return mobilenetV3('mobilenetV3Large', 'large', options);
}

/** MobileNet v3, small; see {@link mobilenetV3Large}. As `torchvision.models.mobilenet_v3_small`: 2,542,856 parameters. */
export function mobilenetV3Small(options: MobilenetOptions = {}): Sequential {
  return mobilenetV3('mobilenetV3Small', 'small', options);
}
