import type { Layer, Node, SymbolicTensor } from '../layer.js';

/** What is written of a model; `model.ts` imports what writes it. */
export interface WrittenModel extends Layer {
  readonly layers: readonly Layer[];
  readonly allLayers: readonly Layer[];
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  readonly compiled: boolean;
}

/** A model with calls of its own; others are layers one after the other. */
export interface WrittenGraph extends WrittenModel {
  readonly nodes: readonly Node[];
}

export function isModel(layer: Layer): layer is WrittenModel {
  return 'layers' in layer;
}

export function isGraph(layer: Layer): layer is WrittenGraph {
  return isModel(layer) && 'nodes' in layer;
}
