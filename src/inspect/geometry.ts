import type { Module } from '../nn/module.js';
import { type ConvTransposeOptions, outputExtents, transposedWindows } from '../ops/conv-transpose.js';
import { type PerAxis, perAxis, windowSpan } from '../ops/window.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import { regionSeen } from './input-region.js';
import { type ReceptiveField, receptiveFields } from './receptive-field.js';
import { type InputOptions, type Network, nodeMultiplyAdds, spatialAxes, traceNetwork } from './trace-network.js';

// Questions about shapes and costs, answered from the graph and the rules that the operators themselves use.

/**
 * The shape that a network makes of one example, both without the batch axis. Traces it in evaluation mode; nothing runs.
 *
 * @example outputShape(new Conv2d(3, 10, 5, { padding: 'same' }), [3, 32, 32]) // [10, 32, 32]
 * @param network a model, a layer or a function of a tensor
 * @throws ShapeError of the layer that does not fit
 */
export function outputShape(network: Network, inputShape: Shape, options: InputOptions = {}): Shape {
  return traceNetwork('outputShape', network, inputShape, options).output.type.shape.slice(1);
}

/**
 * How many numbers a model learns; a parameter that several layers share counts once.
 *
 * @throws GaborError before the first call of a layer that infers its input channels
 */
export function parameterCount(model: Module): number {
  return [...new Set(model.parameters())].reduce((sum, parameter) => sum + parameter.size, 0);
}

/**
 * Multiplications with an addition in the convolutions and matrix products for one example of shape `inputShape` (without the
 * batch axis), counting taps that fall into the padding. Twice that is the number of floating-point operations.
 */
export function multiplyAdds(network: Network, inputShape: Shape, options: InputOptions = {}): number {
  const { graph } = traceNetwork('multiplyAdds', network, inputShape, options);
  return graph.nodes.reduce((sum, node) => sum + nodeMultiplyAdds(node), 0);
}

/**
 * What an element of the output sees of the input, padding included: one entry per spatial axis of the input.
 * The element at position p sees `start + stride · p` … `start + stride · p + size − 1`. Strides, dilation, branches, residual
 * sums, pooling and slices are followed; where branches meet, it is the smallest stretch that holds all of them. It is that of the
 * interior, as the literature gives it: what padding by reflection, edges or the other end repeats is padding all the same.
 * {@link inputRegion} has the positions that a given neuron reads.
 *
 * @throws GaborError where the output does not depend on the input
 */
export function receptiveField(network: Network, inputShape: Shape, options: InputOptions = {}): ReceptiveField {
  const { graph, input, output, constants } = traceNetwork('receptiveField', network, inputShape, options);
  const field = receptiveFields(graph, input, spatialAxes(network, input, options), constants).get(output);
  if (field === undefined) throw new GaborError('receptiveField: the output does not depend on the input');
  return field;
}

/** A box of the input, without the batch axis: `start[d]` … `end[d] − 1` along axis d. */
export interface InputRegion {
  readonly start: Shape;
  readonly end: Shape;
}

/**
 * The smallest box of the input that one neuron depends on, without the padding of any layer: as {@link receptiveField}, but
 * exact at the borders (positions that reflection, edges or the other end stand for count), with channels (of a grouped convolution,
 * those of the group) and through transposed convolutions.
 *
 * @param position of the neuron in the output, without the batch axis: [channel, …spatial]
 * @returns undefined where the neuron sees padding only, or nothing at all
 * @throws OptionError for a position outside of the output
 */
export function inputRegion(
  network: Network,
  inputShape: Shape,
  position: Shape,
  options: InputOptions = {},
): InputRegion | undefined {
  const traced = traceNetwork('inputRegion', network, inputShape, options);
  const shape = traced.output.type.shape.slice(1);
  const inside =
    position.length === shape.length && position.every((p, d) => Number.isInteger(p) && p >= 0 && p < shape[d]);
  if (!inside) {
    throw new OptionError(
      `inputRegion: the position must be one of the output ${formatShape(shape)}, counted from 0, got ${formatShape(position)}`,
    );
  }
  const box = regionSeen(traced, [0, ...position])?.slice(1);
  return box && { start: box.map((ps) => ps[0]), end: box.map((ps) => ps[ps.length - 1] + 1) };
}

/** What a dilated kernel stretches over, dilation · (kernel − 1) + 1 per axis: nine weights with dilation 2 cover 5×5. */
export function effectiveKernelSize(kernelSize: number, dilation?: number): number;
export function effectiveKernelSize(kernelSize: readonly number[], dilation?: PerAxis): number[];
export function effectiveKernelSize(kernelSize: PerAxis, dilation: PerAxis = 1): number | number[] {
  const where = 'effectiveKernelSize';
  const rank = typeof kernelSize === 'number' ? 1 : kernelSize.length;
  const kernel = perAxis(where, 'kernelSize', kernelSize, rank, 1);
  const steps = perAxis(where, 'dilation', dilation, rank, 1);
  const spans = kernel.map((k, axis) => windowSpan(k, steps[axis]));
  return typeof kernelSize === 'number' ? spans[0] : spans;
}

/** Of a transposed convolution, as its layer takes them. */
export interface TransposedSizeOptions
  extends Pick<ConvTransposeOptions, 'stride' | 'padding' | 'outputPadding' | 'dilation'> {
  readonly kernelSize: PerAxis;
}

/**
 * The spatial extents that a transposed convolution makes of `size`: (size − 1) · stride − 2 · padding + dilation · (kernelSize − 1)
 * + outputPadding + 1 per axis, as `torch.nn.ConvTranspose2d`; size · stride with padding `same`.
 *
 * @throws OptionError for outputPadding that is not below the stride or the dilation; ShapeError where nothing is left
 */
export function transposedOutputSize(size: Shape, options: TransposedSizeOptions): Shape {
  const where = 'transposedOutputSize';
  checkOptions(where, options, ['kernelSize', 'stride', 'padding', 'outputPadding', 'dilation']);
  const { kernelSize, ...rest } = options;
  const kernel = perAxis(where, 'kernelSize', kernelSize, size.length, 1);
  const inputs = perAxis(where, 'size', size, size.length, 1);
  return outputExtents(where, inputs, transposedWindows(where, kernel, rest));
}
