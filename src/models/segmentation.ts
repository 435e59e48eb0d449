import type { LayerConfig } from '../nn/config.js';
import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Module,
  Parallel,
  ReLU,
  registerModule,
  Sequential,
  withForwardHook,
} from '../nn/index.js';
import { broadcastTo } from '../ops/broadcast.js';
import { interpolate } from '../ops/resize.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { partsOfConfig } from './blocks/block.js';
import { heFanOut, initialize, initialized, normalWeights } from './blocks/initialize.js';
import { mobilenetV3Features } from './mobilenet-v3.js';
import { channelScale, mobileScale, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';
import { resnetStages } from './resnet.js';

/** Options of {@link fcnResnet50} and its kin. */
export interface SegmentationOptions extends ScalableOptions {
  /**
   * With an auxiliary head on an earlier layer, as in torchvision's files of weights; see {@link SegmentationModel.outputs}. Default
   * false.
   */
  readonly auxLoss?: boolean;
}

/**
 * A classification network without its end, a head that classifies every place of its features, and bilinear resizing to the size of the
 * input. Parts: `backbone`, `classifier`, and `aux_classifier`, which reads the backbone's part `auxLayer`.
 */
export class SegmentationModel extends Module {
  readonly type = 'SegmentationModel';
  readonly auxLayer: string | undefined;

  constructor(parts: Readonly<Record<string, Module>>, auxLayer?: string) {
    super();
    const expected = ['backbone', 'classifier', ...(auxLayer === undefined ? [] : ['aux_classifier'])];
    if (Object.keys(parts).join() !== expected.join()) {
      throw new OptionError(
        `SegmentationModel: parts must be ${expected.join(', ')}, got ${Object.keys(parts).join(', ')}`,
      );
    }
    this.auxLayer = auxLayer;
    for (const [name, part] of Object.entries(parts)) this.child(name, part);
    if (auxLayer !== undefined) this.submodule(`backbone.${auxLayer}`);
  }

  forward(x: Tensor): Tensor {
    return this.#enlarge(this.submodule('classifier').call(this.submodule('backbone').call(x)), x);
  }

  /** The result under `out`, and that of the auxiliary head, where there is one, under `aux`; both as large as the input. */
  outputs(x: Tensor): { out: Tensor; aux?: Tensor } {
    const { auxLayer } = this;
    if (auxLayer === undefined) return { out: this.forward(x) };
    const tapped = this.submodule(`backbone.${auxLayer}`);
    const seen: Tensor[] = [];
    const out = withForwardHook(
      ({ module, output }) => {
        if (module === tapped) seen.push(output);
      },
      () => this.forward(x),
    );
    return { out, aux: this.#enlarge(this.submodule('aux_classifier').call(seen[0]), x) };
  }

  #enlarge(scores: Tensor, x: Tensor): Tensor {
    return interpolate(scores, { size: x.shape.slice(2), mode: 'bilinear' });
  }

  override config(): LayerConfig {
    const parts = Object.fromEntries(this.namedChildren().map(([name, part]) => [name, part.config()]));
    return { type: this.type, parts, ...(this.auxLayer === undefined ? {} : { auxLayer: this.auxLayer }) };
  }

  static fromConfig(this: void, config: LayerConfig, build: (config: LayerConfig) => Module): SegmentationModel {
    checkOptions('SegmentationModel', config, ['type', 'parts', 'auxLayer']);
    return new SegmentationModel(partsOfConfig(config, build), config.auxLayer as string | undefined);
  }
}

/**
 * Layers on the means of all places, whose result is the same everywhere: what an image is about as a whole (Chen et al., 2017,
 * section 3.3). torchvision: `ASPPPooling`.
 */
export class ImagePooling extends Module {
  readonly type = 'ImagePooling';

  constructor(...layers: readonly Module[]) {
    super();
    for (const [i, layer] of layers.entries()) this.child(String(i), layer);
  }

  forward(x: Tensor): Tensor {
    const y = this.namedChildren().reduce((value, [, layer]) => layer.call(value), x);
    return broadcastTo(y, [...y.shape.slice(0, 2), ...x.shape.slice(2)]);
  }

  override config(): LayerConfig {
    return { type: this.type, layers: this.namedChildren().map(([, layer]) => layer.config()) };
  }

  static fromConfig(this: void, config: LayerConfig, build: (config: LayerConfig) => Module): ImagePooling {
    checkOptions(config.type, config, ['type', 'layers']);
    if (!Array.isArray(config.layers)) throw new OptionError('ImagePooling: layers must be a list of configurations');
    return new ImagePooling(...config.layers.map((layer) => build(layer as LayerConfig)));
  }
}

registerModule('SegmentationModel', SegmentationModel.fromConfig);
registerModule('ImagePooling', ImagePooling.fromConfig);

/** Atrous spatial pyramid pooling and a 3×3 convolution: the head of DeepLab v3. */
function deeplabHead(inChannels: number, inside: number, classes: number, random: { random?: Random }): Sequential {
  const conv = (kernel: number, dilation: number): Module[] => [
    new Conv2d(inChannels, inside, kernel, { padding: kernel === 1 ? 0 : dilation, dilation, bias: false }),
    new BatchNorm2d(inside),
    new ReLU(),
  ];
  return new Sequential(
    new Sequential({
      convs: new Parallel([
        new Sequential(...conv(1, 1)),
        ...[12, 24, 36].map((dilation) => new Sequential(...conv(3, dilation))),
        new ImagePooling(new AdaptiveAvgPool2d(1), ...conv(1, 1)),
      ]),
      project: new Sequential(
        new Conv2d(5 * inside, inside, 1, { bias: false }),
        new BatchNorm2d(inside),
        new ReLU(),
        new Dropout(0.5, random),
      ),
    }),
    new Conv2d(inside, inside, 3, { padding: 1, bias: false }),
    new BatchNorm2d(inside),
    new ReLU(),
    new Conv2d(inside, classes, 1),
  );
}

/** Two convolutions: the head of FCN, and the auxiliary one of both. */
function fcnHead(inChannels: number, classes: number, random: { random?: Random }): Sequential {
  const inside = Math.max(1, Math.floor(inChannels / 4));
  return new Sequential(
    new Conv2d(inChannels, inside, 3, { padding: 1, bias: false }),
    new BatchNorm2d(inside),
    new ReLU(),
    new Dropout(0.1, random),
    new Conv2d(inside, classes, 1),
  );
}

/** 20 kinds of things and the background, as Pascal VOC; images of 520 as in torchvision. */
const VOC = { classes: 21, inChannels: 3, size: 520 };
const OPTIONS = [...SCALABLE_OPTIONS, 'auxLoss'];

function onResnet50(where: 'fcnResnet50' | 'deeplabv3Resnet50', options: SegmentationOptions): SegmentationModel {
  const { classes, inChannels, random } = modelOptions(where, options, OPTIONS, VOC);
  const scale = channelScale(where, options);
  const { auxLoss = false } = options;
  const plan = { block: 'Bottleneck', layers: [3, 4, 6, 3], dilatedStages: [2, 3] } as const;
  const model = initialized(random, {}, () => {
    const { parts, channels } = resnetStages(plan, inChannels, scale);
    const head =
      where === 'fcnResnet50'
        ? fcnHead(channels[3], classes, random)
        : deeplabHead(channels[3], scale(256), classes, random);
    const aux: Record<string, Module> = auxLoss ? { aux_classifier: fcnHead(channels[2], classes, random) } : {};
    return new SegmentationModel(
      { backbone: new Sequential(parts), classifier: head, ...aux },
      auxLoss ? 'layer3' : undefined,
    );
  });
  initialize(model.submodule('backbone'), { conv: heFanOut }, random.random);
  return model;
}

/**
 * Fully convolutional network (Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015) on a
 * ResNet-50 with dilations in the place of the last two strides. As `torchvision.models.segmentation.fcn_resnet50`: 35,322,218
 * parameters with the auxiliary head, 32,957,013 without.
 *
 * [n, inChannels, height, width] → logits [n, classes, height, width]; any size, meant for 520.
 */
export function fcnResnet50(options: SegmentationOptions = {}): SegmentationModel {
  return onResnet50('fcnResnet50', options);
}

/**
 * DeepLab v3 of Chen, Papandreou, Schroff and Adam, "Rethinking atrous convolution for semantic image segmentation", 2017, on a
 * ResNet-50: parallel convolutions of several dilations. As `torchvision.models.segmentation.deeplabv3_resnet50`: 42,004,074 parameters
 * with the auxiliary head.
 *
 * [n, inChannels, height, width] → logits [n, classes, height, width]; any size, meant for 520.
 */
export function deeplabv3Resnet50(options: SegmentationOptions = {}): SegmentationModel {
  return onResnet50('deeplabv3Resnet50', options);
}

/**
 * DeepLab v3 on a large MobileNet v3; see {@link deeplabv3Resnet50}. As
 * `torchvision.models.segmentation.deeplabv3_mobilenet_v3_large`: 11,029,328 parameters with the auxiliary head.
 */
export function deeplabv3MobilenetV3(options: SegmentationOptions = {}): SegmentationModel {
  const where = 'deeplabv3MobilenetV3';
  const { classes, inChannels, random } = modelOptions(where, options, OPTIONS, VOC);
  const { auxLoss = false } = options;
  const model = initialized(random, {}, () => {
    const { layers, channels } = mobilenetV3Features('large', inChannels, mobileScale(where, options), true);
    const last = channels.length - 1;
    // The first block at an eighth of the size.
    const auxLayer = 4;
    const aux: Record<string, Module> = auxLoss ? { aux_classifier: fcnHead(channels[auxLayer], classes, random) } : {};
    return new SegmentationModel(
      {
        backbone: new Sequential(...layers),
        classifier: deeplabHead(channels[last], channelScale(where, options)(256), classes, random),
        ...aux,
      },
      auxLoss ? String(auxLayer) : undefined,
    );
  });
  initialize(model.submodule('backbone'), { conv: heFanOut, linear: normalWeights(0.01) }, random.random);
  return model;
}
