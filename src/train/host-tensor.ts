import type { TypedArray } from '../tensor/dtype.js';
import type { TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** The contents of a tensor outside of any device, row-major: what files hold. */
export interface HostTensor extends TensorType {
  readonly data: TypedArray;
}

/** Copies tensors out of their device. */
export function toHost(tensors: Readonly<Record<string, Tensor>>): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, t]) => [name, { dtype: t.dtype, shape: t.shape, data: t.data() }]),
  );
}
