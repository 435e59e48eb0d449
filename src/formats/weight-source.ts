import type { HostTensor } from '../tensor/host-tensor.js';
import type { TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { Lanes } from './lanes.js';

/** One tensor of an open file. */
export interface WeightEntry extends TensorType {
  /** Takes the elements from the file; nothing of them is kept. */
  read(): Promise<HostTensor>;
  /** Where the file has the elements as this machine does: puts their bytes where they are to go. */
  readInto?(bytes: Uint8Array): Promise<void>;
}

/** The tensors of an open file by name: what every format of weights comes down to. */
export interface WeightSource {
  /** Named in messages. */
  readonly where: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, WeightEntry>;
  close(): Promise<void>;
}

/** Fills tensors of the same shapes from a file, straight into their memory where that is possible, and several at a time. */
export async function fillTensors(plan: Iterable<readonly [target: Tensor, entry: WeightEntry]>): Promise<void> {
  const lanes = new Lanes();
  const seen = new Set<Tensor>();
  for (const [target, entry] of plan) {
    // One that has several names gets what the last one says.
    if (seen.has(target)) await lanes.finish();
    seen.add(target);
    await lanes.add(async () => {
      const { storage } = target;
      if (entry.readInto !== undefined && storage.fill !== undefined && target.dtype === entry.dtype) {
        await storage.fill((bytes) => (entry as Required<WeightEntry>).readInto(bytes));
      } else target.write((await entry.read()).data);
    });
  }
  await lanes.finish();
}
