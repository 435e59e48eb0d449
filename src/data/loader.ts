import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import { type AugmentOptions, checkAugment } from './augment.js';
import { BatchAssembler, type BatchPlan, type BatchSlot, type BatchTargets } from './batch.js';
import type { BatchRequest, BatchWorkerData } from './batch-worker.js';
import { checkCount, type ImageSplit } from './dataset.js';
import { type MixOptions, planMix } from './mix.js';
import { type BatchFormat, type InputArray, type SampleFormat, type SampleSplit, samplesOf } from './samples.js';
import { WorkerPool } from './worker-pool.js';

/** Options of {@link BatchLoader}. */
export interface BatchLoaderOptions {
  batchSize: number;
  /** Decides order and augmentation, together with the epoch. Default 0. */
  seed?: number;
  /** A new order every epoch. Default true. */
  shuffle?: boolean;
  /** Leave out a last batch that is not full. Default false. */
  dropLast?: boolean;
  /** Only for images: inputs of bytes [channels, height, width], with targets that do not move with pixels. Default: none. */
  augment?: AugmentOptions;
  /** Mixes samples of one class each; targets become shares of the classes, f32 [count, classes]. Default: none. */
  mix?: MixOptions;
  /** Threads that assemble batches; 0 = in this thread, with the same bits. Default 1. */
  workers?: number;
  /** Batches that are made ahead. Default 2 per worker, at least 2, and more where they are small. */
  prefetch?: number;
}

/**
 * One batch. Its arrays are views of memory that is used again: they hold until the next batch is asked for; copy what
 * is needed for longer.
 */
export interface Batch<Y extends BatchTargets = Int32Array> {
  /** [count, …inputShape]; bytes have become `(v / 255 − mean) / std`. */
  readonly x: Float32Array;
  /** [count, …targetShape]; the labels of images. With `mix` [count, classes]. */
  readonly y: Y;
  /** [count] rows of the split. */
  readonly indices: Int32Array;
  readonly count: number;
  /** Of `x`. */
  readonly shape: Shape;
  readonly epoch: number;
  /** Number of the batch within its epoch. */
  readonly batch: number;
}

/** Small batches are asked for by so many bytes at once, and so many of them at most: a message takes as long as copying 100 KB. */
const GROUP_BYTES = 2 ** 21;
const GROUP = 8;

/** Neighbouring batches that a worker was asked for. */
interface Group {
  readonly first: number;
  readonly end: number;
  /** Number of the first one's fill. */
  readonly fill: number;
  /** When all of them are filled. */
  readonly done: Promise<void>;
}

const OPTIONS = ['batchSize', 'seed', 'shuffle', 'dropLast', 'augment', 'mix', 'workers', 'prefetch'];

/**
 * Batches of images or other samples, shuffled, augmented and normalised on worker threads ahead of their use. The bits depend on the seed,
 * the epoch and the batch number, not on the number of workers. Memory is a ring of `prefetch + 1` batches.
 *
 *     const loader = new BatchLoader(data.splits.train, data, { batchSize: 64 });
 *     for await (const { x, y } of loader.epoch(0)) step(x, y);
 *     await loader.close();
 *
 * `Y` is the memory of the targets: Float32Array where they are floats, as with `mix`.
 */
export class BatchLoader<Y extends BatchTargets = Int32Array> {
  /** Batches in an epoch. */
  readonly batches: number;
  /** Images in an epoch; fewer than the split holds when `dropLast` leaves some out. */
  readonly samples: number;
  readonly #plan: BatchPlan;
  readonly #slots: readonly BatchSlot[];
  readonly #filled: Int32Array<SharedArrayBuffer>;
  readonly #workers: number;
  /** How many batches a worker is asked for at once. */
  readonly #group: number;
  /** Fills so far, over all epochs. */
  #fills = 1;
  #groups = 0;
  #pool: WorkerPool<BatchRequest, void> | undefined;
  #assembler: BatchAssembler | undefined;
  #busy = false;
  #closed = false;

  /** @throws OptionError for unknown or impossible options, ShapeError where the split and the format disagree. */
  constructor(split: ImageSplit | SampleSplit, format: BatchFormat | SampleFormat, options: BatchLoaderOptions) {
    checkOptions('BatchLoader', options, OPTIONS);
    const batchSize = checkCount('BatchLoader: batchSize', options.batchSize, 1);
    const samples = samplesOf('BatchLoader', split, format);
    const { count, inputShape, targetShape, mean, std } = samples;
    const seed = options.seed ?? 0;
    if (!Number.isSafeInteger(seed)) throw new OptionError(`BatchLoader: seed must be a whole number, got ${seed}`);
    if (options.augment) {
      if (mean === undefined || inputShape.length !== 3 || targetShape.length > 1) {
        throw new OptionError(
          'BatchLoader: augment changes images, bytes [channels, height, width] with a target that stays as it is; change other samples before, or in the model',
        );
      }
      checkAugment(options.augment, inputShape[1], inputShape[2]);
    }
    this.batches = options.dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize);
    this.samples = options.dropLast ? this.batches * batchSize : count;
    this.#workers = checkCount('BatchLoader: workers', options.workers ?? 1, 0);
    const mix = options.mix && planMix(options.mix, inputShape, targetShape, samples.targets);
    const targetSize = mix ? mix.classes : sizeOf(targetShape);
    const bytes = 4 * batchSize * (sizeOf(inputShape) + targetSize);
    const together = Math.max(1, Math.min(GROUP, Math.floor(GROUP_BYTES / bytes)));
    const prefetch = checkCount(
      'BatchLoader: prefetch',
      options.prefetch ?? Math.max(2, 2 * this.#workers * together),
      1,
    );
    // Every worker has one group to make while the one before is used.
    this.#group = Math.max(1, Math.floor(prefetch / (2 * Math.max(1, this.#workers))));
    this.#plan = {
      count,
      inputs: shared(samples.inputs),
      targets: shared(samples.targets),
      inputShape: [...inputShape],
      targetShape: [...targetShape],
      ...(mean && std ? { mean: [...mean], std: [...std] } : {}),
      batchSize,
      seed,
      shuffle: options.shuffle ?? true,
      ...(options.augment ? { augment: { ...options.augment } } : {}),
      ...(mix ? { mix } : {}),
    };
    const slots = this.#workers === 0 ? 1 : prefetch + 1;
    const targetMemory = (length: number): BatchTargets => {
      const memory = new SharedArrayBuffer(4 * length);
      return mix || samples.targets instanceof Float32Array ? new Float32Array(memory) : new Int32Array(memory);
    };
    this.#slots = Array.from({ length: slots }, () => ({
      x: new Float32Array(new SharedArrayBuffer(4 * batchSize * sizeOf(inputShape))),
      y: targetMemory(batchSize * targetSize),
      indices: new Int32Array(new SharedArrayBuffer(4 * batchSize)),
    }));
    this.#filled = new Int32Array(new SharedArrayBuffer(4 * slots));
  }

  /**
   * The batches of one epoch; one epoch at a time. Leaving the loop early is fine.
   *
   * @param epoch any whole number ≥ 0; the same number gives the same batches.
   * @param from batch to begin with, to go on in the middle of an epoch.
   * @throws GaborError when a worker fails or the loader is closed meanwhile.
   */
  async *epoch(epoch: number, from = 0): AsyncGenerator<Batch<Y>, void, undefined> {
    checkCount('BatchLoader: epoch', epoch, 0);
    checkCount('BatchLoader: from', from, 0);
    if (this.#closed) throw new GaborError('BatchLoader: the loader has been closed');
    if (this.#busy) throw new GaborError('BatchLoader: another epoch is under way; its loop must end first');
    this.#busy = true;
    const slots = this.#slots.length;
    const groups: Group[] = [];
    try {
      let asked = from;
      for (let batch = from; batch < this.batches; batch++) {
        // The slot of the batch before this one is free again, now that its user has come back.
        for (;;) {
          const end = Math.min(this.batches, asked + this.#group);
          if (asked === end || end > batch + slots) break;
          groups.push(this.#ask(epoch, asked, end));
          asked = end;
        }
        while (groups[0].end <= batch) groups.shift();
        const [group] = groups;
        const fill = group.fill + batch - group.first;
        await this.#isFilled(fill, group);
        if (this.#closed) throw new GaborError('BatchLoader: the loader has been closed');
        yield this.#batch(fill % slots, epoch, batch);
      }
    } finally {
      // Workers may still write into the ring; the next epoch must not find them there.
      await Promise.allSettled(groups.map(({ done }) => done));
      this.#busy = false;
    }
  }

  /** Ends the worker threads. An epoch under way throws. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Has the batches from `first` to before `end` filled. */
  #ask(epoch: number, first: number, end: number): Group {
    const fill = this.#fills;
    const count = end - first;
    this.#fills += count;
    if (this.#workers === 0) {
      this.#assembler ??= new BatchAssembler(this.#plan);
      for (let i = 0; i < count; i++) {
        const slot = (fill + i) % this.#slots.length;
        this.#assembler.fill(epoch, first + i, this.#slots[slot]);
        this.#filled[slot] = fill + i;
      }
      return { first, end, fill, done: Promise.resolve() };
    }
    if (!this.#pool) {
      const data: BatchWorkerData = { plan: this.#plan, slots: this.#slots, filled: this.#filled };
      this.#pool = new WorkerPool(
        'loading batches',
        new URL('./batch-worker.js', import.meta.url),
        this.#workers,
        data,
      );
    }
    const done = this.#pool.run({ epoch, batch: first, count, fill }, this.#groups++);
    done.catch(() => {}); // the loop reports it when it gets there
    return { first, end, fill, done };
  }

  /** Waits for one of a group's batches, most often for none, without a message for each. */
  async #isFilled(fill: number, { done }: Group): Promise<void> {
    const slot = fill % this.#slots.length;
    for (;;) {
      const held = Atomics.load(this.#filled, slot);
      if (held === fill) return;
      const change = Atomics.waitAsync(this.#filled, slot, held);
      if (change.async) await Promise.race([change.value, done]);
    }
  }

  #batch(slot: number, epoch: number, batch: number): Batch<Y> {
    const { inputShape, targetShape, batchSize, mix, count: samples } = this.#plan;
    const count = Math.min(batchSize, samples - batch * batchSize);
    const { x, y, indices } = this.#slots[slot];
    return {
      x: x.subarray(0, count * sizeOf(inputShape)),
      y: y.subarray(0, count * (mix ? mix.classes : sizeOf(targetShape))) as Y,
      indices: indices.subarray(0, count),
      count,
      shape: [count, ...inputShape],
      epoch,
      batch,
    };
  }
}

/** The same elements in shared memory, without what else lies in their buffer; data sets hold theirs there already. */
function shared<T extends InputArray | BatchTargets>(data: T): T {
  if (data.buffer instanceof SharedArrayBuffer) return data;
  const Type = data.constructor as new (buffer: SharedArrayBuffer) => T;
  const copy = new Type(new SharedArrayBuffer(data.byteLength));
  copy.set(data);
  return copy;
}
