import { type Device, getDevice, setDevice } from '../graph/device.js';
import { init, type Module } from '../nn/index.js';
import { allocateArray } from '../tensor/dtype.js';
import { InternalError } from '../tensor/errors.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { nodeMultiplyAdds, traceNetwork } from './trace-network.js';

/** What a network costs, for one example. */
export interface ModelCosts {
  readonly parameters: number;
  /**
   * Of layers with weights: convolutions and linear layers. Pooling and resizing are not counted, as is usual where such numbers are
   * published.
   */
  readonly multiplyAdds: number;
  /** Without the batch axis. */
  readonly outputShape: Shape;
}

/** Tensors have shapes and no memory; nothing runs. */
const SHAPES_ONLY: Device = {
  name: 'shapes only',
  allocate: (type) => ({
    type,
    read: () => allocateArray(type.dtype, sizeOf(type.shape)),
    write() {},
    clear() {},
    dispose() {},
  }),
  compile: () => {
    throw new InternalError('a network is traced for its costs, not run');
  },
};

/** Runs `body`, in which tensors have no memory and weights are not drawn: for what depends on shapes alone. */
export function withoutMemory<T>(body: () => T): T {
  const device = getDevice();
  setDevice(SHAPES_ONLY);
  try {
    return init.skipInit(body);
  } finally {
    setDevice(device);
  }
}

/**
 * Parameters and multiply-adds of the network that `make` makes, in evaluation mode, for an example of shape `inputShape` (without the
 * batch axis). It is made without memory and initial weights, so that also large ones are counted in no time.
 */
export function modelCosts(make: () => Module, inputShape: Shape): ModelCosts {
  return withoutMemory(() => {
    const model = make().eval();
    // As a function: modules then have the paths that they have in this model, wherever it is a part itself.
    const network = (x: Tensor): Tensor => model.forward(x);
    const { graph, output } = traceNetwork('modelCosts', network, inputShape, { dtype: model.inputDType });
    const weighted = new Set(model.namedModules().flatMap(([name, module]) => (hasOwnWeights(module) ? [name] : [])));
    return {
      parameters: model.parameters().reduce((total, { size }) => total + size, 0),
      multiplyAdds: graph.nodes
        .filter((node) => weighted.has(node.scope))
        .reduce((total, node) => total + nodeMultiplyAdds(node), 0),
      outputShape: output.type.shape.slice(1),
    };
  });
}

function hasOwnWeights(module: Module): boolean {
  const below = module.namedChildren().reduce((total, [, child]) => total + child.parameters().length, 0);
  return module.parameters().length > below;
}
