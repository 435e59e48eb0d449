import { cpus } from 'node:os';
import type { ImageDataset } from '../data/index.js';
import type { Device } from '../graph/device.js';
import type { TrainingSettings } from '../train/index.js';
import { describeDevice } from './devices.js';
import type { RunRecord } from './train-options.js';
import { packageVersion } from './version.js';

type Entries = [name: string, value: string][];

/** The options of a training for its report. */
export function optionEntries(record: RunRecord, settings: TrainingSettings): Entries {
  const plain = (value: unknown): string =>
    value === null || value === undefined
      ? 'none'
      : typeof value === 'object'
        ? Object.entries(value)
            .map(([key, part]) => `${key} ${typeof part === 'object' ? JSON.stringify(part) : String(part)}`)
            .join(', ')
        : String(value);
  return [
    ['data', record.data],
    ['model', record.model],
    ...(record.init === undefined ? [] : ([['begun with', record.init]] satisfies Entries)),
    ...(record.trained === undefined ? [] : ([['trained', record.trained.join(', ')]] satisfies Entries)),
    ['epochs', plain(settings.epochs)],
    ['batch size', plain(settings.batchSize)],
    ['optimizer', settings.optimizer],
    ['learning rate', plain(settings.lr)],
    ...(settings.optimizer === 'sgd'
      ? ([['momentum', `${settings.momentum}${settings.nesterov ? ', Nesterov' : ''}`]] satisfies Entries)
      : []),
    ['weight decay', plain(settings.weightDecay)],
    ['schedule', plain(settings.schedule)],
    ['label smoothing', plain(settings.labelSmoothing)],
    ['augmentation', plain(settings.augment)],
    ['mixed images', mixText(settings)],
    ['averages of weights', settings.ema === 0 ? 'none' : `decay ${settings.ema}`],
    ['seed', plain(settings.seed)],
    ...Object.entries(record.options)
      .filter(([key, value]) => key !== 'seed' && value !== undefined)
      .map(([key, value]): [string, string] => [key, plain(value)]),
  ];
}

function mixText({ mixup, cutmix }: TrainingSettings): string {
  const parts = Object.entries({ mixup, cutmix }).filter(([, alpha]) => alpha > 0);
  return parts.map(([name, alpha]) => `${name} ${alpha}`).join(', ') || 'none';
}

/** Where a training ran, for its report. */
export function environmentEntries(device: Device, dataset: ImageDataset): Entries {
  const list = (values: readonly number[]): string => values.map((value) => value.toFixed(4)).join(', ');
  const { train, validation, test } = dataset.splits;
  return [
    ['Gabor', packageVersion()],
    ['Node', process.version],
    ['system', `${process.platform} ${process.arch}`],
    ['processor', cpus()[0]?.model.trim() ?? 'unknown'],
    ['device', describeDevice(device)],
    ['images', `${train.count} training, ${validation?.count ?? 0} validation, ${test.count} test`],
    ['skipped files', String(dataset.skipped.length)],
    ['mean', list(dataset.mean)],
    ['deviation', list(dataset.std)],
  ];
}
