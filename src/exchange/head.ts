import type { OnnxModel } from '../formats/onnx/onnx-model.js';
import type { Json, LayerConfig } from '../nn/config.js';
import { init, type Module, moduleFromConfig } from '../nn/index.js';
import { GaborError, OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { ImageClassifier, outputsFor } from './image-classifier.js';

/** A network whose last layer is new. */
export interface WithHead {
  readonly model: Module;
  /** Names of the parameters that are new. */
  readonly head: readonly string[];
}

/**
 * The last layer with weights of a classifier drawn anew, for so many outputs: to go on with other classes. All other weights are copies,
 * or the same tensors. Draws from the generator that `manualSeed` resets.
 *
 * @param inputShape of a batch of one
 * @throws OptionError where it cannot be told which layer that is
 */
export function withNewHead(model: Module, outputs: number, inputShape: Shape): WithHead {
  if (model instanceof ImageClassifier) {
    const [batch, ...rest] = inputShape;
    const inside = model.channelsLast ? [batch, ...rest.slice(1), rest[0]] : inputShape;
    const inner = withNewHead(model.model, outputs, inside);
    return { model: new ImageClassifier(inner.model, model), head: inner.head.map((name) => `model.${name}`) };
  }
  return isOnnx(model) ? ofGraph(model, outputs, inputShape) : ofLayers(model, outputs, inputShape);
}

function isOnnx(model: Module): model is OnnxModel {
  return model.type === 'OnnxModel';
}

/** Names whose tensors have another shape in another network of the same names. */
function differing(model: Module, other: Module): string[] {
  const state = other.stateDict();
  return Object.entries(model.stateDict())
    .filter(([name, { shape }]) => `${state[name]?.shape}` !== `${shape}`)
    .map(([name]) => name);
}

function ofGraph(model: OnnxModel, outputs: number, inputShape: Shape): WithHead {
  const probe = model.withOutputs(outputsFor(model, inputShape) + 1);
  const head = differing(model, probe);
  // All else are the same tensors.
  const state = probe.stateDict();
  for (const name of head) state[name].dispose();
  return { model: model.withOutputs(outputs), head };
}

/** Where in a configuration a number of outputs stands. */
interface Place {
  readonly layer: { [argument: string]: Json };
  readonly argument: string;
}

/** Tries the layers from the last one backwards: which of them makes the network's outputs more when it has more? */
function ofLayers(model: Module, outputs: number, inputShape: Shape): WithHead {
  const before = outputsFor(model, inputShape);
  const config = structuredClone(model.config());
  for (const { layer, argument } of outputPlaces(config).reverse()) {
    if (layer[argument] !== before) continue;
    layer[argument] = before + 1;
    using probe = tryModel(config);
    if (probe !== undefined && tryOutputs(probe, inputShape) === before + 1) {
      layer[argument] = outputs;
      const head = differing(model, probe);
      const fresh = moduleFromConfig(config);
      const kept = Object.entries(model.stateDict()).filter(([name]) => !head.includes(name));
      fresh.loadStateDict(Object.fromEntries(kept), { strict: false });
      return { model: fresh.train(model.training), head };
    }
    layer[argument] = before;
  }
  throw new OptionError(
    `${model.type}: cannot tell which of its layers makes its ${before} outputs; a classifier ends in a linear layer or a convolution`,
  );
}

function tryModel(config: LayerConfig): Module | undefined {
  return unlessImpossible(() => init.skipInit(() => moduleFromConfig(config)));
}

function tryOutputs(model: Module, inputShape: Shape): number | undefined {
  return unlessImpossible(() => outputsFor(model, inputShape));
}

/** What follows a layer may not take so many. */
function unlessImpossible<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof GaborError) return undefined;
    throw error;
  }
}

/** In the order of the configuration, which is that of the layers. */
function outputPlaces(config: Json): Place[] {
  if (typeof config !== 'object' || config === null) return [];
  const layer = config as Place['layer'];
  const own = ['outFeatures', 'outChannels']
    .filter((argument) => typeof layer[argument] === 'number')
    .map((argument) => ({ layer, argument }));
  return [...own, ...Object.values(layer).flatMap(outputPlaces)];
}
