import { foldIn, keyOfSeed, Random } from '../tensor/random.js';
import { sizeOf } from '../tensor/shape.js';
import { Augmenter, type AugmentOptions } from './augment.js';
import { normalizationTables } from './image/normalize.js';
import { type MixPlan, mixBatch } from './mix.js';
import type { Samples } from './samples.js';

/** Everything that decides the content of every batch of every epoch; can be sent to a worker thread. */
export interface BatchPlan extends Samples {
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
  /** Of inputs that are images, bytes [channels, height, width]. */
  readonly augment?: AugmentOptions;
  readonly mix?: MixPlan;
}

/** Targets as they are in a batch. */
export type BatchTargets = Int32Array | Float32Array;

/** Memory of one batch, as large as a full one. */
export interface BatchSlot {
  /** [batchSize, …inputShape]. */
  readonly x: Float32Array;
  /** [batchSize, …targetShape], or [batchSize, classes] of mixed samples. */
  readonly y: BatchTargets;
  readonly indices: Int32Array;
}

/** Streams of random numbers that must not meet. */
const SHUFFLE = 0x5f1e;
const AUGMENT = 0xa06;
const MIX = 0x313;

/** Fills batches. The result depends on the plan, the epoch and the batch number only, not on the thread or on earlier calls. */
export class BatchAssembler {
  readonly #plan: BatchPlan;
  /** Of bytes. */
  readonly #tables: Float32Array[];
  readonly #augmenter: Augmenter | undefined;
  /** Of the batch under way, where its samples are mixed. */
  readonly #labels: Int32Array;
  #order: Uint32Array | undefined;
  #orderEpoch = Number.NaN;

  constructor(plan: BatchPlan) {
    const { mean, std, augment, inputShape, mix, batchSize } = plan;
    this.#plan = plan;
    this.#labels = new Int32Array(mix ? batchSize : 0);
    this.#tables = mean && std ? normalizationTables({ mean, std }) : [];
    if (augment && mean && std) {
      const [channels, height, width] = inputShape;
      this.#augmenter = new Augmenter(augment, { channels, height, width, mean, std });
    }
  }

  /** Writes batch number `batch` of an epoch. */
  fill(epoch: number, batch: number, slot: BatchSlot): void {
    const { inputs, targets, count, inputShape, targetShape, batchSize, seed, mix } = this.#plan;
    const order = this.#orderOf(epoch);
    const start = batch * batchSize;
    const filled = Math.min(batchSize, count - start);
    const size = sizeOf(inputShape);
    const targetSize = sizeOf(targetShape);
    const key = foldIn(foldIn(keyOfSeed(seed), AUGMENT), epoch);
    for (let i = 0; i < filled; i++) {
      const index = order ? order[start + i] : start + i;
      slot.indices[i] = index;
      if (mix) this.#labels[i] = targets[index];
      else if (targetSize === 1) slot.y[i] = targets[index];
      else slot.y.set(targets.subarray(index * targetSize, (index + 1) * targetSize), i * targetSize);
      if (inputs instanceof Float32Array) {
        slot.x.set(inputs.subarray(index * size, (index + 1) * size), i * size);
      } else if (this.#augmenter) {
        this.#augmenter.apply(inputs, index * size, foldIn(key, index), slot.x, i * size);
      } else {
        const plane = size / this.#tables.length;
        let from = index * size;
        let to = i * size;
        for (const table of this.#tables) {
          for (const end = from + plane; from < end; ) slot.x[to++] = table[inputs[from++]];
        }
      }
    }
    if (mix) {
      const random = new Random(foldIn(foldIn(foldIn(keyOfSeed(seed), MIX), epoch), batch));
      const labels = this.#labels.subarray(0, filled);
      mixBatch(mix, random, inputShape, slot.x.subarray(0, filled * size), labels, slot.y as Float32Array);
    }
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
