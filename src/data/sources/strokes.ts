import { OptionError } from '../../tensor/errors.js';
import { arrangeParts, checkCount, type DatasetSource, mapClasses, type PartName, sharedBytes } from '../dataset.js';
import { strokes } from '../strokes/index.js';
import { defaultThreads, WorkerPool } from '../worker-pool.js';
import { drawStrokes, STROKES_SIDE as SIDE, type StrokesRequest } from './draw-strokes.js';
import { conformImages, finishDataset, splitParts } from './finish.js';

/** Images per request; a multiple of ten, because ten in a row share a writer. */
const CHUNK = 500;

/**
 * The built-in handwritten digits, drawn on worker threads; 20,000 for training and 2,000 for testing, by different writers. The
 * seed decides which.
 */
export const strokesSource: DatasetSource = {
  kind: 'strokes',
  looksFor: 'the word strokes (built-in digits)',

  recognises(data) {
    return data === 'strokes';
  },

  async open(_data, options) {
    if (options.testSplit !== undefined) {
      throw new OptionError('testSplit: strokes has a test part of its own; use testCount to choose its size');
    }
    const seed = options.seed ?? 0;
    const counts = {
      train: checkCount('trainCount', options.trainCount ?? 20_000, 10),
      test: checkCount('testCount', options.testCount ?? 2_000, 1),
    };
    const total = counts.train + counts.test;
    const images = sharedBytes(total * SIDE * SIDE, `${total} digits`);
    const labels = new Int32Array(new SharedArrayBuffer(4 * total));
    const requests: StrokesRequest[] = [];
    for (const split of ['train', 'test'] as const) {
      const row = split === 'train' ? 0 : counts.train;
      for (let start = 0; start < counts[split]; start += CHUNK) {
        const count = Math.min(CHUNK, counts[split] - start);
        requests.push({ split, seed, start, count, row: row + start, images, labels });
      }
    }
    const threads = options.threads ?? defaultThreads();
    const pool =
      threads > 0
        ? new WorkerPool<StrokesRequest, number>(
            'drawing strokes',
            new URL('./strokes-worker.js', import.meta.url),
            threads,
          )
        : undefined;
    try {
      let done = 0;
      const draw = async (request: StrokesRequest): Promise<void> => {
        done += pool ? await pool.run(request) : drawStrokes(request);
        options.onProgress?.('drawing', done, total);
      };
      await Promise.all(requests.map(draw));
    } finally {
      await pool?.close();
    }
    const found = strokes({ count: 1 }).classes;
    if (options.classes) {
      const mapping = mapClasses('strokes', found, options.classes);
      for (let i = 0; i < total; i++) labels[i] = mapping[labels[i]];
    }
    const parts = Array.from({ length: total }, (_, i): PartName => (i < counts.train ? 'train' : 'test'));
    splitParts('strokes', parts, labels, new Set(['test']), options);
    const { channels, height, width, images: conformed } = conformImages(images, SIDE, SIDE, options);
    return finishDataset(
      { name: 'strokes', kind: 'strokes', classes: options.classes ?? found, channels, height, width, skipped: [] },
      arrangeParts(conformed, labels, parts),
    );
  },
};
