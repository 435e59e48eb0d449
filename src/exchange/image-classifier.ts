import type { ModelPort } from '../formats/model-port.js';
import type { Graph, Node, Value } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import type { LayerConfig } from '../nn/config.js';
import { Module } from '../nn/module.js';
import { registerModule } from '../nn/registry.js';
import { fromChannelsFirst } from '../ops/data-format.js';
import { log, maximum } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { checkOptions, GaborError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { Preprocessing } from '../train/preprocessing.js';
import { formatPort, isFree } from './ports.js';

/** Keras's, below which probabilities count as zero. */
const EPSILON = 1e-7;
const TYPE = 'ImageClassifier';

/** What a network is beside [n, channels, height, width] → logits [n, classes]. */
export interface ClassifierForm {
  /** It takes [n, height, width, channels]. */
  readonly channelsLast: boolean;
  /** It gives probabilities; their logarithms are logits. */
  readonly probabilities: boolean;
}

/** A network of another form as [n, channels, height, width] → logits [n, classes]. */
export class ImageClassifier extends Module implements ClassifierForm {
  readonly type = 'ImageClassifier';
  readonly model: Module;
  readonly channelsLast: boolean;
  readonly probabilities: boolean;

  constructor(model: Module, { channelsLast, probabilities }: ClassifierForm) {
    super();
    this.model = this.child('model', model);
    this.channelsLast = channelsLast;
    this.probabilities = probabilities;
  }

  forward(x: Tensor): Tensor {
    const y = this.model.call(this.channelsLast ? fromChannelsFirst(x, 'channels-last') : x);
    const scores = y.rank === 2 ? y : reshape(y, [y.shape[0], sizeOf(y.shape.slice(1))]);
    return this.probabilities ? log(maximum(scores, EPSILON)) : scores;
  }

  override config(): LayerConfig {
    const { type, model, channelsLast, probabilities } = this;
    return { type, model: model.config(), channelsLast, probabilities };
  }
}

registerModule(TYPE, (config, build) => {
  checkOptions(TYPE, config, ['type', 'model', 'channelsLast', 'probabilities']);
  const { model, channelsLast, probabilities } = config;
  return new ImageClassifier(build(model as LayerConfig), {
    channelsLast: channelsLast === true,
    probabilities: probabilities === true,
  });
});

/** What of a loaded model matters here. */
export interface ImageNetwork {
  readonly model: Module;
  readonly path: string;
  readonly inputs: readonly ModelPort[];
}

/** Pictures that a network takes. */
export interface PictureFormat {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** [n, height, width, channels] */
  readonly channelsLast: boolean;
}

/**
 * What pictures a network takes: told by the extents of its input; where these leave it open, by which order of the axes it can be
 * traced with.
 *
 * @param wanted what is to be fed; needed where the input is free
 * @throws ShapeError for a network that takes no such pictures, or does not say which
 */
export function pictureFormat(
  { model, path, inputs }: ImageNetwork,
  wanted: Partial<Pick<Preprocessing, 'channels' | 'height' | 'width'>> = {},
): PictureFormat {
  const [port] = inputs;
  if (inputs.length !== 1 || (port.dtype ?? 'f32') !== 'f32' || (port.shape !== undefined && port.shape.length !== 4)) {
    throw new ShapeError(
      `${path}: takes ${inputs.map(formatPort).join(', ')}; pictures need one input of floats with four axes, two of them height and width`,
    );
  }
  const extents = (port.shape ?? [null, null, null, null]).map((extent) =>
    isFree(extent) ? undefined : Number(extent),
  );
  const found: PictureFormat[] = [];
  let sizeMissing = false;
  for (const channelsLast of [false, true]) {
    const [, first, second, third] = extents;
    const [own, height, width] = channelsLast ? [third, first, second] : [first, second, third];
    for (const channels of [3, 1] as const) {
      const size = { channels, height: wanted.height ?? height, width: wanted.width ?? width };
      const fits = (declared: number | undefined, value: number | undefined): boolean =>
        declared === undefined || value === undefined || declared === value;
      if (!fits(own, channels) || !fits(wanted.channels, channels)) continue;
      if (!fits(height, size.height) || !fits(width, size.width)) continue;
      if (size.height === undefined || size.width === undefined) sizeMissing = true;
      else found.push({ channels, height: size.height, width: size.width, channelsLast });
    }
  }
  if (found.length === 1) return found[0];
  const traced = found.find((format) => {
    try {
      traceModel(model, shapeOf(format));
      return true;
    } catch (error) {
      if (error instanceof GaborError) return false;
      throw error;
    }
  });
  if (traced !== undefined) return traced;
  const size = (n: number | undefined): string => (n === undefined ? '?' : String(n));
  throw new ShapeError(
    sizeMissing && found.length === 0
      ? `${path}: takes ${formatPort(port)}, which does not say how large pictures are; give their size (as height and width of the preprocessing, on the command line --size)`
      : `${path}: takes ${formatPort(port)}, which pictures of ${wanted.channels ?? '1 or 3'} channels and ${size(wanted.height)}×${size(wanted.width)} do not fit`,
  );
}

/** Of a batch of one such picture. */
export function shapeOf({ channels, height, width, channelsLast }: PictureFormat): number[] {
  return channelsLast ? [1, height, width, channels] : [1, channels, height, width];
}

/**
 * The network of a loaded model for pictures: itself where it takes channels first and gives logits, otherwise in an
 * {@link ImageClassifier}.
 *
 * @param classes checked against its outputs
 */
export function imageClassifier(
  network: ImageNetwork,
  pictures: Pick<Preprocessing, 'channels' | 'height' | 'width'>,
  classes: number,
): Module {
  const { model, path } = network;
  const { channels, height, width } = pictures;
  const format = pictureFormat(network, { channels, height, width });
  const [output] = traceModel(model, shapeOf(format)).outputs;
  const { shape } = output.type;
  if (shape[0] !== 1 || sizeOf(shape) !== classes) {
    throw new ShapeError(`${path}: gives ${formatShape(shape)} for one picture, but ${classes} classes are named`);
  }
  const { channelsLast } = format;
  const probabilities = isSoftmax(output);
  const plain = !channelsLast && !probabilities && shape.length === 2;
  return plain ? model : new ImageClassifier(model, { channelsLast, probabilities }).train(model.training);
}

/** Why a network takes no batches, as graphs that were exported with one example may not; undefined where it does. */
export function batchProblem(model: Module, [, ...example]: Shape): string | undefined {
  try {
    traceModel(model, [2, ...example]);
    return undefined;
  } catch (error) {
    if (error instanceof GaborError) return error.message;
    throw error;
  }
}

/** How many numbers a network gives for a batch of one. */
export function outputsFor(model: Module, inputShape: Shape): number {
  return sizeOf(traceModel(model, inputShape).outputs[0].type.shape);
}

function traceModel(model: Module, shape: Shape): Graph {
  return trace((graph) => {
    const x = Tensor.fromTraced(graph.addInput({ dtype: 'f32', shape }));
    return [inMode(model, false, () => model.call(x))];
  }).graph;
}

/** Whether a value is exp(x) / Σ exp(x), reshaped or not. */
function isSoftmax(value: Value): boolean {
  const node = through(value, ['reshape', 'transpose', 'cast']);
  if (node?.operator.name !== 'div') return false;
  const [exp, sum] = [through(node.inputs[0], []), through(node.inputs[1], ['reshape', 'broadcast'])];
  if (exp?.operator.name !== 'exp' || sum?.operator.name !== 'sum') return false;
  return through(sum.inputs[0], ['reshape']) === exp;
}

/** The node that makes a value, behind those that only move elements. */
function through(value: Value, moving: readonly string[]): Node | undefined {
  let { node } = value;
  while (node !== undefined && moving.includes(node.operator.name)) ({ node } = node.inputs[0]);
  return node;
}
