import type { Contraction } from './contraction.js';
import type { Nest } from './nest.js';

export * from './nest.js';

/** The same elements in row-major order under another shape. */
export interface Reshape {
  readonly kind: 'reshape';
}

/** What an operator lowers to: independent of any target. Operands are the node's inputs, by number. */
export type Kernel = Nest | Contraction | Reshape;
