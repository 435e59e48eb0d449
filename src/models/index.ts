// The models, `gabor/models`: every architecture is a function that makes a network with initial weights.
import '../runtime/default-device.js';

export { type AlexnetOptions, alexnet } from './alexnet.js';
export { Block, type BlockKind, type Wiring } from './blocks/block.js';
export { InputTransform, imagenetToUnit } from './blocks/input-transform.js';
export { StochasticDepth } from './blocks/stochastic-depth.js';
export { Trunk } from './blocks/trunk.js';
export { type C3dOptions, c3d } from './c3d.js';
export { type DensenetOptions, densenet121, densenetKeys } from './densenet.js';
export { type EfficientnetOptions, efficientnetB0 } from './efficientnet.js';
export { type GooglenetOptions, googlenet, type InceptionOptions } from './googlenet.js';
export { inceptionV3 } from './inception.js';
export { lenet } from './lenet.js';
export { type M5Options, m5 } from './m5.js';
export { mobilenetV1 } from './mobilenet-v1.js';
export { type MobilenetOptions, mobilenetV2 } from './mobilenet-v2.js';
export { mobilenetV3Large, mobilenetV3Small } from './mobilenet-v3.js';
export type { ModelOptions, ScalableOptions } from './options.js';
export {
  type DataFacts,
  findImageClassifier,
  findModel,
  type ImageClassifierEntry,
  MODELS,
  type ModelEntry,
  type ModelTask,
  suggestAugmentation,
} from './registry.js';
export {
  type ResnetOptions,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  resnext50,
  resnext101,
  wideResnet50,
  wideResnet101,
} from './resnet.js';
export { PaddedShortcut, resnet20, resnet32, resnet44, resnet56 } from './resnet-cifar.js';
export { type ResnetSmallOptions, resnetSmall } from './resnet-small.js';
export {
  deeplabv3MobilenetV3,
  deeplabv3Resnet50,
  fcnResnet50,
  ImagePooling,
  SegmentationModel,
  type SegmentationOptions,
} from './segmentation.js';
export { type SqueezenetOptions, squeezenet1_0, squeezenet1_1 } from './squeezenet.js';
export { LastStep, type TcnOptions, tcn, WeightNormConv1d } from './tcn.js';
export { type TextCnnOptions, textCnn } from './text-cnn.js';
export { UNet, type UnetOptions, unet2d, unet3d } from './unet.js';
export {
  type VggOptions,
  vgg11,
  vgg11Bn,
  vgg13,
  vgg13Bn,
  vgg16,
  vgg16Bn,
  vgg19,
  vgg19Bn,
} from './vgg.js';
export { type VggSmallOptions, vggSmall } from './vgg-small.js';
export { mc3_18, r2plus1d18, r3d18 } from './video-resnet.js';
export {
  type GenerateOptions,
  muLawDecode,
  muLawEncode,
  WaveNet,
  type WavenetOptions,
  wavenet,
} from './wavenet.js';
