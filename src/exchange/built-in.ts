import { loadWeights, openWeights, problemOf, type WeightReport } from '../formats/weights.js';
import { findModel, MODELS, type ModelEntry, type ModelOptions } from '../models/index.js';
import { init, type Module } from '../nn/index.js';
import { FileError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { nearest } from '../tensor/suggest.js';
import { LoadedModel } from './loaded-model.js';
import type { Architecture, ReadOptions } from './options.js';

/** Loads weights into the built-in network that they are of. */
export async function loadBuiltIn(
  path: string,
  { shown = path, siblings: _, ...options }: ReadOptions,
): Promise<LoadedModel> {
  const { model, entry, example } = await rebuild(path, shown, options);
  const images = entry.task.startsWith('image');
  const shape = images ? ['batch', example[1], 'height', 'width'] : ['batch', ...example.slice(1)];
  return new LoadedModel({
    model,
    format: `weights of ${entry.name}`,
    path: shown,
    inputs: [{ name: 'input', dtype: model.inputDType, shape }],
    outputs: [{ name: 'output', dtype: 'f32', shape: undefined }],
    example,
  });
}

/** A built-in network with the weights of a file. */
interface Rebuilt {
  readonly model: Module;
  readonly entry: ModelEntry;
  readonly example: Shape;
}

/** @throws FileError for names that do not fit, and where nobody says which network it is */
async function rebuild(path: string, shown: string, { architecture, classes, input }: Architecture): Promise<Rebuilt> {
  if (architecture === undefined) {
    const parts = shown.split(/[/\\]/).slice(-2);
    const near = new Set(parts.flatMap((part) => nearest(part.replace(/\.[^.]*$/, ''), Object.keys(MODELS), 3)));
    throw new FileError(
      `${shown}: holds weights alone, no architecture. Name the built-in network that they are of (architecture, on the command line --model${near.size > 0 ? `; perhaps ${[...near].join(' or ')}` : ''}; all: gabor models), or build it in code and use loadWeights`,
    );
  }
  const entry = findModel(architecture);
  const images = entry.task.startsWith('image');
  const [inChannels, height, width] = input ?? entry.inputShape;
  const create = (count: number | undefined): Module => {
    const options: ModelOptions = {
      ...(count === undefined ? {} : { classes: count }),
      ...(images && input !== undefined ? { inChannels, size: [height, width] } : {}),
    };
    return init.skipInit(() => entry.create(options));
  };
  const source = await openWeights(path);
  try {
    let model = create(classes);
    let report = await loadWeights(model, source, { strict: false });
    const outputs = classes ?? otherOutputs(report);
    if (outputs !== classes) {
      model = create(outputs);
      report = await loadWeights(model, source, { strict: false });
    }
    const problem = problemOf(report);
    if (problem !== undefined) throw new FileError(`${shown}: the weights do not fit ${entry.name}; ${problem}`);
    return { model: model.eval(), entry, example: [1, ...(images && input ? input : entry.inputShape)] };
  } finally {
    await source.close();
  }
}

/** The number of outputs of weights that fit but for these. */
function otherOutputs({ mismatched, missing, unexpected }: WeightReport): number | undefined {
  const rest = (shape: Shape): string => `${shape.slice(1)}`;
  const counts = new Set(
    mismatched.map(({ expected, found }) => (rest(expected.shape) === rest(found.shape) ? found.shape[0] : undefined)),
  );
  return counts.size === 1 && missing.length + unexpected.length === 0 ? [...counts][0] : undefined;
}
