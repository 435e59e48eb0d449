import { extname, join } from 'node:path';
import { writeFileAtomic } from '../../formats/atomic-write.js';
import { zip } from '../../formats/zip.js';
import { FileError, OptionError } from '../../tensor/errors.js';
import { CONFIG_ENTRY, METADATA_ENTRY, WEIGHTS_ENTRY } from './load-weights.js';
import { encodeHdf5, weightContent } from './write-hdf5.js';
import type { Dialect, Writing } from './write-layers.js';
import { writeModel } from './write-model.js';
import { writeTfjs } from './write-tfjs.js';
import type { WrittenModel } from './written-model.js';

/** The Keras whose files these are. */
const KERAS_VERSION = '3.15.1';

/** What {@link saveModel} writes for a name, and where. */
function target(path: string): { format: Dialect; path: string } {
  if (typeof path !== 'string' || path === '') throw new OptionError('save: takes a path such as "model.keras"');
  // TensorFlow.js's address of a folder.
  if (path.startsWith('file://')) {
    const folder = path.slice('file://'.length);
    return { format: 'tfjs', path: folder.endsWith('.json') ? folder : join(folder, 'model.json') };
  }
  const ending = extname(path).toLowerCase();
  if (ending === '.keras') return { format: 'keras', path };
  if (ending === '.json') return { format: 'tfjs', path };
  const advice = /\.weights\.h5$/i.test(path)
    ? 'weights alone are written by model.saveWeights(path)'
    : ending === '.h5' || ending === '.hdf5'
      ? 'whole models are written as .keras, which Keras 3 can save as .h5'
      : 'models are written as .keras (Keras 3), or model.json (TensorFlow.js)';
  throw new FileError(`cannot save ${path}: ${advice}`);
}

/**
 * Writes a model for Keras 3 or TensorFlow.js, by the ending of the path.
 *
 * @returns what the file cannot hold, as sentences
 * @throws FileError for what the format cannot say, before anything is written
 */
export async function saveModel(model: WrittenModel, given: string): Promise<string[]> {
  const { format, path } = target(given);
  const writing: Writing = { dialect: format, notes: [] };
  const config = writeModel(writing, model);
  if (format === 'tfjs') await writeTfjs(path, model, config);
  else {
    const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
    const saved = new Date().toISOString().replace('T', '@').slice(0, 19);
    const archive = zip(
      [
        [METADATA_ENTRY, text({ keras_version: KERAS_VERSION, date_saved: saved })],
        [CONFIG_ENTRY, text(config)],
        [WEIGHTS_ENTRY, await encodeHdf5(weightContent(model))],
      ],
      false,
    );
    await writeFileAtomic(path, archive);
  }
  if (model.compiled) {
    writing.notes.push(
      'loss, metrics, the optimizer and its state are not in the file: call compile where the model is loaded',
    );
  }
  return writing.notes;
}

/**
 * Writes the weights alone, as Keras 3 does.
 *
 * @throws FileError for names that do not end in `.weights.h5`
 */
export async function saveModelWeights(model: WrittenModel, path: string): Promise<void> {
  if (typeof path !== 'string' || !/\.weights\.h5$/i.test(path)) {
    throw new FileError(
      `cannot save the weights to ${String(path)}: the name must end in .weights.h5, as Keras wants it; whole models are written by model.save(path)`,
    );
  }
  if (!model.built) throw new FileError(`model "${model.name}" is not built yet: it has no weights`);
  await writeFileAtomic(path, await encodeHdf5(weightContent(model)));
}
