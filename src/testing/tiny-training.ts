import type { ImageSplit } from '../data/index.js';
import {
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { Random } from '../tensor/random.js';
import type { HostTensor, TrainingData } from '../train/index.js';

/** Noisy 6×6 images of three classes: a bright left half, right half or top half. Small enough for the reference device. */
export function tinyData(trainCount = 24, testCount = 9, seed = 1): TrainingData & { readonly kind: string } {
  const format = {
    channels: 1,
    height: 6,
    width: 6,
    mean: [0.4],
    std: [0.3],
    classes: ['left', 'right', 'top'],
  } as const;
  return {
    kind: 'tiny',
    ...format,
    splits: { train: tinySplit(trainCount, seed), test: tinySplit(testCount, seed + 1) },
  };
}

export function tinySplit(count: number, seed: number): ImageSplit {
  const random = new Random(seed);
  const images = new Uint8Array(count * 36);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % 3;
    for (let y = 0; y < 6; y++) {
      for (let x = 0; x < 6; x++) {
        const bright = [x < 3, x >= 3, y < 3][labels[i]];
        images[i * 36 + y * 6 + x] = (bright ? 150 : 0) + random.integer(100);
      }
    }
  }
  return { count, images, labels };
}

/** A little of everything that has a state: batch statistics, dropout, parameters. */
export function tinyModel(seed = 3): Module {
  const random = new Random(seed);
  return new Sequential({
    conv: new Conv2d(1, 4, 3, { padding: 1, random }),
    bn: new BatchNorm2d(4),
    relu: new ReLU(),
    pool: new MaxPool2d(2),
    dropout: new Dropout(0.2, { random }),
    flatten: new Flatten(),
    fc: new Linear(36, 3, { random }),
  });
}

/** All tensors of a model as plain data, to compare bit by bit. */
export function bitsOf(model: Module): Record<string, number[]> {
  const tensors = [...Object.entries(model.stateDict()), ...model.namedRandomStates()];
  return Object.fromEntries(tensors.map(([name, tensor]) => [name, [...tensor.data()]]));
}

/** The same for tensors outside of a device. */
export function bitsOfHost(tensors: Readonly<Record<string, HostTensor>>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, [...data]]));
}
