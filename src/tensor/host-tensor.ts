import type { TypedArray } from './dtype.js';
import type { TensorType } from './shape.js';
import type { Tensor } from './tensor.js';

/** The contents of a tensor outside of any device, row-major: what files hold. */
export interface HostTensor extends TensorType {
  readonly data: TypedArray;
}

/** Whether a value is the contents of a tensor, as `readNpy` gives them. */
export function isHostTensor(value: unknown): value is HostTensor {
  const { dtype, shape, data } = (value ?? {}) as Partial<HostTensor>;
  return typeof dtype === 'string' && Array.isArray(shape) && ArrayBuffer.isView(data);
}

/** Copies tensors out of their device. */
export function toHost(tensors: Readonly<Record<string, Tensor>>): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, t]) => [name, { dtype: t.dtype, shape: t.shape, data: t.data() }]),
  );
}
