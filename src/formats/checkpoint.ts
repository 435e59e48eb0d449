import type { Module } from '../nn/index.js';
import { FileError, GaborError } from '../tensor/errors.js';
import type { HostTensor, Preprocessing, TrainingState } from '../train/index.js';
import { resolveSettings } from '../train/settings.js';
import {
  buildModel,
  checkTensors,
  describeModel,
  json,
  type ModelDescription,
  numbersIn,
  parseDescription,
} from './model-description.js';
import { MODEL_PREFIX, withoutPrefix } from './model-file.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** A training to go on with. */
export interface Checkpoint {
  /** In the state of the checkpoint; `fit(model, data, { resume: state })` goes on. */
  readonly model: Module;
  readonly state: TrainingState;
  readonly classes?: readonly string[];
  readonly preprocessing?: Preprocessing;
  readonly extra: Readonly<Record<string, string>>;
}

const GROUPS = [
  [MODEL_PREFIX, 'model'],
  ['unaveraged.', 'unaveraged'],
  ['random.', 'random'],
  ['optimizer.', 'optimizer'],
] as const;

/**
 * Saves a training state as one safetensors file, as a whole or not at all: the tensors under `model.`, `unaveraged.` (with `ema`), `optimizer.` and `random.`,
 * and in the metadata, beside what a model file has, `training`: progress, settings, history and the identity of the data.
 *
 *     await fit(model, data, { onCheckpoint: (state) => saveCheckpoint('last.safetensors', model, state, description) });
 *
 * @throws FileError when it cannot be written; the checkpoint that was there before is unchanged.
 */
export async function saveCheckpoint(
  path: string,
  model: Module,
  state: TrainingState,
  description: ModelDescription,
): Promise<void> {
  const { progress, settings, history, data } = state;
  const tensors: Record<string, HostTensor> = {};
  for (const [prefix, group] of GROUPS) {
    for (const [name, value] of Object.entries(state[group])) tensors[prefix + name] = value;
  }
  const training = JSON.stringify({ progress, settings, history, data });
  await writeSafetensors(path, tensors, { ...describeModel('checkpoint', model, description), training });
}

/**
 * Loads what {@link saveCheckpoint} saved.
 *
 * @throws FileError for a damaged file, and for a model file, which holds no training to go on with.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { metadata, tensors } = await readSafetensors(path);
  const { kind, config, classes, preprocessing, extra } = parseDescription(path, metadata);
  if (kind !== 'checkpoint') {
    throw new FileError(`${path}: is a model, not a checkpoint; it has no optimizer state to resume from`);
  }
  for (const name of tensors.keys()) {
    if (!GROUPS.some(([prefix]) => name.startsWith(prefix)))
      throw new FileError(`${path}: has an unknown tensor "${name}"`);
  }
  const [model, unaveraged, random, optimizer] = GROUPS.map(([prefix]) => withoutPrefix(tensors, prefix));
  const module = await buildModel(path, config, numbersIn(tensors.values()));
  checkTensors(path, 'the model', module.stateDict(), model);
  checkTensors(path, 'the model', module.stateDict(), { ...model, ...unaveraged });
  checkTensors(path, 'the model', Object.fromEntries(module.namedRandomStates()), random);
  module.loadStateDict(model);
  module.loadRandomStates(random);
  const training = parseTraining(path, json(path, metadata, 'training'));
  return { model: module, state: { model, unaveraged, random, optimizer, ...training }, classes, preprocessing, extra };
}

type TrainingText = Pick<TrainingState, 'progress' | 'settings' | 'history' | 'data'>;

function parseTraining(path: string, value: unknown): TrainingText {
  const bad = (what: string): FileError => new FileError(`${path}: the metadata "training" ${what}`);
  const { progress, settings, history, data } = (value ?? {}) as Partial<TrainingText>;
  const counts = [progress?.epoch, progress?.batch, progress?.step, progress?.count];
  const totals = Object.values(progress?.metrics ?? {}).flatMap((sums) => [sums?.total, sums?.weight]);
  const sums = [progress?.lossSum, progress?.seconds, ...totals];
  if (
    !progress?.metrics ||
    !counts.every((n) => Number.isSafeInteger(n) && (n as number) >= 0) ||
    !sums.every(Number.isFinite)
  ) {
    throw bad('has no valid progress');
  }
  if (!Array.isArray(history) || history.length !== progress.epoch) throw bad('has no history of its epochs');
  if (!data || ![data.trainCount, data.classes, data.checksum].every(Number.isSafeInteger)) {
    throw bad('does not say what data it belongs to');
  }
  if (!settings) throw bad('has no settings');
  try {
    resolveSettings({}, data.trainCount, settings);
  } catch (error) {
    if (!(error instanceof GaborError)) throw error;
    throw bad(`has settings that make no sense: ${error.message}`);
  }
  return { progress, settings, history, data };
}
