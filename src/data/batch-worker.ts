import { workerData } from 'node:worker_threads';
import { BatchAssembler, type BatchPlan, type BatchSlot } from './batch.js';
import { serveRequests } from './worker-pool.js';

/** What a batch worker is started with. */
export interface BatchWorkerData {
  readonly plan: BatchPlan;
  readonly slots: readonly BatchSlot[];
}

/** One batch to fill; the answer is its image count. */
export interface BatchRequest {
  readonly epoch: number;
  readonly batch: number;
  readonly slot: number;
}

const { plan, slots } = workerData as BatchWorkerData;
const assembler = new BatchAssembler(plan);
serveRequests<BatchRequest, number>(({ epoch, batch, slot }) => assembler.fill(epoch, batch, slots[slot]));
