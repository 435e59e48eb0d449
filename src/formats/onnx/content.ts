import type { Tensor } from '../../tensor/tensor.js';
import type { Uses } from './analysis.js';
import type { ElementType } from './element-types.js';
import type { OnnxGraph } from './graph.js';
import type { HostArray } from './tensor-proto.js';

/** A tensor of the network. */
export interface Weight {
  readonly name: string;
  readonly tensor: Tensor;
  /** otherwise it is a buffer */
  readonly trained: boolean;
  readonly type: ElementType;
}

/** What an imported network consists of. */
export interface OnnxContent {
  readonly graph: OnnxGraph;
  readonly opset: number;
  readonly uses: Uses;
  /** Parameters and buffers, in the order of the file. */
  readonly weights: readonly Weight[];
  /** Constants and all that must be known while tracing. */
  readonly constants: ReadonlyMap<string, HostArray>;
  /** Values of symbolic dimensions. */
  readonly dims: Readonly<Record<string, number>>;
  readonly producer: string;
  /** Texts that the file holds beside the graph (`metadata_props`). */
  readonly metadata: Readonly<Record<string, string>>;
}
