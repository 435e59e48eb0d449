import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Flatten,
  init,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { Block } from './blocks/block.js';
import { convNorm } from './blocks/conv-norm.js';
import { heFanOut, initialized } from './blocks/initialize.js';
import { channelScale, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link resnet18} and its kin. */
export interface ResnetOptions extends ScalableOptions {
  /**
   * Start the last normalisation of every residual branch at zero, so that blocks are identities at first (Goyal et al., 2017).
   * Default false.
   */
  readonly zeroInitResidual?: boolean;
}

/** What tells the residual networks apart. */
export interface ResnetPlan {
  readonly block: 'BasicBlock' | 'Bottleneck';
  /** Blocks in each of the four stages. */
  readonly layers: readonly number[];
  /** Groups of the 3×3 convolutions of bottlenecks; default 1. */
  readonly groups?: number;
  /** Channels of each group where the stage has 64; default 64. */
  readonly widthPerGroup?: number;
  /** Stages whose stride becomes a dilation of all that follows; default none. */
  readonly dilatedStages?: readonly number[];
}

const EXPANSION = { BasicBlock: 1, Bottleneck: 4 };

/** Everything up to the last stage; returns the channels that come out as well. */
export function resnetStages(
  plan: ResnetPlan,
  inChannels: number,
  scale: (channels: number) => number,
): { parts: Record<string, Module>; channels: number[] } {
  const { block, layers, groups = 1, widthPerGroup = 64, dilatedStages = [] } = plan;
  let last = scale(64);
  const parts: Record<string, Module> = {
    conv1: new Conv2d(inChannels, last, 7, { stride: 2, padding: 3, bias: false }),
    bn1: new BatchNorm2d(last),
    relu: new ReLU(),
    maxpool: new MaxPool2d(3, { stride: 2, padding: 1 }),
  };
  let dilation = 1;
  const channels = layers.map((count, stage) => {
    const planes = scale(64 * 2 ** stage);
    const out = planes * EXPANSION[block];
    const dilated = dilatedStages.includes(stage);
    const stride = stage === 0 || dilated ? 1 : 2;
    const before = dilation;
    if (dilated) dilation *= 2;
    const blocks = Array.from({ length: count }, (_, i) => {
      const inside = i === 0 ? last : out;
      const step = i === 0 ? stride : 1;
      const downsample =
        i === 0 && (stride !== 1 || last !== out) ? shortcut(last, out, stride) : ({} as Record<string, Module>);
      return block === 'BasicBlock'
        ? basicBlock(inside, planes, step, downsample)
        : bottleneck(inside, planes, step, downsample, {
            dilation: i === 0 ? before : dilation,
            groups,
            width: Math.max(1, Math.floor((planes * widthPerGroup) / 64)) * groups,
          });
    });
    parts[`layer${stage + 1}`] = new Sequential(...blocks);
    last = out;
    return out;
  });
  return { parts, channels };
}

function shortcut(inChannels: number, outChannels: number, stride: number): Record<string, Module> {
  return { downsample: convNorm(inChannels, outChannels, 1, { stride, activation: null }) };
}

/** Two 3×3 convolutions; parts as in torchvision. `downsample` is the shortcut where it is not the input itself. */
export function basicBlock(
  inChannels: number,
  planes: number,
  stride: number,
  downsample: Readonly<Record<string, Module>>,
): Block {
  return new Block(
    'BasicBlock',
    {
      conv1: new Conv2d(inChannels, planes, 3, { stride, padding: 1, bias: false }),
      bn1: new BatchNorm2d(planes),
      relu: new ReLU(),
      conv2: new Conv2d(planes, planes, 3, { padding: 1, bias: false }),
      bn2: new BatchNorm2d(planes),
      ...downsample,
    },
    {
      branches: [['conv1', 'bn1', 'relu', 'conv2', 'bn2'], Object.keys(downsample)],
      merge: 'sum',
      after: ['relu'],
    },
  );
}

/** 1×1, 3×3 and 1×1; the stride is in the middle one, as in torchvision ("ResNet v1.5"). */
function bottleneck(
  inChannels: number,
  planes: number,
  stride: number,
  downsample: Readonly<Record<string, Module>>,
  { dilation, groups, width }: { readonly dilation: number; readonly groups: number; readonly width: number },
): Block {
  const out = planes * EXPANSION.Bottleneck;
  return new Block(
    'Bottleneck',
    {
      conv1: new Conv2d(inChannels, width, 1, { bias: false }),
      bn1: new BatchNorm2d(width),
      conv2: new Conv2d(width, width, 3, { stride, padding: dilation, dilation, groups, bias: false }),
      bn2: new BatchNorm2d(width),
      conv3: new Conv2d(width, out, 1, { bias: false }),
      bn3: new BatchNorm2d(out),
      relu: new ReLU(),
      ...downsample,
    },
    {
      branches: [['conv1', 'bn1', 'relu', 'conv2', 'bn2', 'relu', 'conv3', 'bn3'], Object.keys(downsample)],
      merge: 'sum',
      after: ['relu'],
    },
  );
}

function resnet(where: string, plan: ResnetPlan, options: ResnetOptions): Sequential {
  const { classes, inChannels, random } = modelOptions(
    where,
    options,
    [...SCALABLE_OPTIONS, 'zeroInitResidual'],
    IMAGENET,
  );
  const model = initialized(random, { conv: heFanOut }, () => {
    const { parts, channels } = resnetStages(plan, inChannels, channelScale(where, options));
    return new Sequential({
      ...parts,
      avgpool: new AdaptiveAvgPool2d(1),
      flatten: new Flatten(),
      fc: new Linear(channels[channels.length - 1], classes),
    });
  });
  if (options.zeroInitResidual) {
    const last = plan.block === 'BasicBlock' ? 'bn2' : 'bn3';
    for (const block of model.modules()) {
      const norm = block instanceof Block ? block.submodule(last) : undefined;
      if (norm instanceof BatchNorm2d && norm.weight !== undefined) init.constant(norm.weight, 0);
    }
  }
  return model;
}

/**
 * ResNet-18 of He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016: blocks of two convolutions that add
 * to their input. As `torchvision.models.resnet18`: 11,689,512 parameters.
 *
 * [n, inChannels, height, width] → [n, classes]; any size, meant for 224. So are the others.
 */
export function resnet18(options: ResnetOptions = {}): Sequential {
  return resnet('resnet18', { block: 'BasicBlock', layers: [2, 2, 2, 2] }, options);
}

/** ResNet-34; see {@link resnet18}. As `torchvision.models.resnet34`: 21,797,672 parameters. */
export function resnet34(options: ResnetOptions = {}): Sequential {
  return resnet('resnet34', { block: 'BasicBlock', layers: [3, 4, 6, 3] }, options);
}

/** ResNet-50, of bottlenecks; see {@link resnet18}. As `torchvision.models.resnet50`: 25,557,032 parameters. */
export function resnet50(options: ResnetOptions = {}): Sequential {
  return resnet('resnet50', { block: 'Bottleneck', layers: [3, 4, 6, 3] }, options);
}

/** ResNet-101; see {@link resnet50}. As `torchvision.models.resnet101`: 44,549,160 parameters. */
export function resnet101(options: ResnetOptions = {}): Sequential {
  return resnet('resnet101', { block: 'Bottleneck', layers: [3, 4, 23, 3] }, options);
}

/** ResNet-152; see {@link resnet50}. As `torchvision.models.resnet152`: 60,192,808 parameters. */
export function resnet152(options: ResnetOptions = {}): Sequential {
  return resnet('resnet152', { block: 'Bottleneck', layers: [3, 8, 36, 3] }, options);
}

/**
 * ResNeXt-50 (32×4d) of Xie, Girshick, Dollár, Tu and He, "Aggregated residual transformations for deep neural networks", CVPR 2017:
 * {@link resnet50} with 32 groups. As `torchvision.models.resnext50_32x4d`: 25,028,904 parameters.
 */
export function resnext50(options: ResnetOptions = {}): Sequential {
  const plan = { block: 'Bottleneck', layers: [3, 4, 6, 3], groups: 32, widthPerGroup: 4 } as const;
  return resnet('resnext50', plan, options);
}

/** ResNeXt-101 (32×8d); see {@link resnext50}. As `torchvision.models.resnext101_32x8d`: 88,791,336 parameters. */
export function resnext101(options: ResnetOptions = {}): Sequential {
  const plan = { block: 'Bottleneck', layers: [3, 4, 23, 3], groups: 32, widthPerGroup: 8 } as const;
  return resnet('resnext101', plan, options);
}

/**
 * Wide ResNet-50-2 after Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016: {@link resnet50} with twice the channels inside
 * of blocks. As `torchvision.models.wide_resnet50_2`: 68,883,240 parameters.
 */
export function wideResnet50(options: ResnetOptions = {}): Sequential {
  const plan = { block: 'Bottleneck', layers: [3, 4, 6, 3], widthPerGroup: 128 } as const;
  return resnet('wideResnet50', plan, options);
}

/** Wide ResNet-101-2; see {@link wideResnet50}. As `torchvision.models.wide_resnet101_2`: 126,886,696 parameters. */
export function wideResnet101(options: ResnetOptions = {}): Sequential {
  const plan = { block: 'Bottleneck', layers: [3, 4, 23, 3], widthPerGroup: 128 } as const;
  return resnet('wideResnet101', plan, options);
}
