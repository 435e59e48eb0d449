import { workerData } from 'node:worker_threads';
import { BatchAssembler, type BatchPlan, type BatchSlot } from './batch.js';
import { serveRequests } from './worker-pool.js';

/** What a batch worker is started with. */
export interface BatchWorkerData {
  readonly plan: BatchPlan;
  readonly slots: readonly BatchSlot[];
  /** For each slot the number of the fill that it holds. */
  readonly filled: Int32Array<SharedArrayBuffer>;
}

/** Neighbouring batches of an epoch to fill, each into the next slot; the answer comes after the last of them. */
export interface BatchRequest {
  readonly epoch: number;
  readonly batch: number;
  readonly count: number;
  /** Number of the first fill; they are counted over all epochs. */
  readonly fill: number;
}

const { plan, slots, filled } = workerData as BatchWorkerData;
const assembler = new BatchAssembler(plan);
serveRequests<BatchRequest, void>(({ epoch, batch, count, fill }) => {
  for (let i = 0; i < count; i++) {
    const slot = (fill + i) % slots.length;
    assembler.fill(epoch, batch + i, slots[slot]);
    Atomics.store(filled, slot, fill + i);
    Atomics.notify(filled, slot);
  }
});
