import type { TensorType } from '../tensor/shape.js';
import type { HostTensor } from '../train/host-tensor.js';

/** One tensor of an open file. */
export interface WeightEntry extends TensorType {
  /** Takes the elements from the file; nothing of them is kept. */
  read(): Promise<HostTensor>;
}

/** The tensors of an open file by name: what every format of weights comes down to. */
export interface WeightSource {
  /** Named in messages. */
  readonly where: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, WeightEntry>;
  close(): Promise<void>;
}
