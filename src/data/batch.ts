import { foldIn, keyOfSeed, Random } from '../tensor/random.js';
import { Augmenter, type AugmentOptions } from './augment.js';
import { normalizationTables } from './image/normalize.js';

/** Everything that decides the content of every batch of every epoch; can be sent to a worker thread. */
export interface BatchPlan {
  /** [count, channels, height, width]. */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly augment?: AugmentOptions;
}

/** Memory of one batch, as large as a full one. */
export interface BatchSlot {
  /** [batchSize, channels, height, width]. */
  readonly x: Float32Array;
  readonly y: Int32Array;
  readonly indices: Int32Array;
}

/** Streams of random numbers that must not meet. */
const SHUFFLE = 0x5f1e;
const AUGMENT = 0xa06;

/** Fills batches. The result depends on the plan, the epoch and the batch number only, not on the thread or on earlier calls. */
export class BatchAssembler {
  readonly #plan: BatchPlan;
  readonly #tables: Float32Array[];
  readonly #augmenter: Augmenter | undefined;
  #order: Uint32Array | undefined;
  #orderEpoch = Number.NaN;

  constructor(plan: BatchPlan) {
    this.#plan = plan;
    this.#tables = normalizationTables(plan);
    this.#augmenter = plan.augment ? new Augmenter(plan.augment, plan) : undefined;
  }

  /** Writes batch number `batch` of an epoch and returns how many images it has. */
  fill(epoch: number, batch: number, slot: BatchSlot): number {
    const { images, labels, count, channels, height, width, batchSize, seed } = this.#plan;
    const order = this.#orderOf(epoch);
    const start = batch * batchSize;
    const filled = Math.min(batchSize, count - start);
    const plane = height * width;
    const size = channels * plane;
    const key = foldIn(foldIn(keyOfSeed(seed), AUGMENT), epoch);
    for (let i = 0; i < filled; i++) {
      const index = order ? order[start + i] : start + i;
      slot.indices[i] = index;
      slot.y[i] = labels[index];
      if (this.#augmenter) {
        this.#augmenter.apply(images, index * size, foldIn(key, index), slot.x, i * size);
        continue;
      }
      for (let c = 0, from = index * size, to = i * size; c < channels; c++) {
        const table = this.#tables[c];
        for (const end = from + plane; from < end; ) slot.x[to++] = table[images[from++]];
      }
    }
    return filled;
  }

  #orderOf(epoch: number): Uint32Array | undefined {
    const { shuffle, seed, count } = this.#plan;
    if (!shuffle) return undefined;
    if (this.#orderEpoch !== epoch) {
      this.#order = new Random(foldIn(foldIn(keyOfSeed(seed), SHUFFLE), epoch)).permutation(count);
      this.#orderEpoch = epoch;
    }
    return this.#order;
  }
}
