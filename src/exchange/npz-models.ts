import { writeNpz } from '../formats/npz.js';
import { toHost } from '../tensor/host-tensor.js';
import type { LoadedModel } from './loaded-model.js';

/** Saves the weights, under the names of `stateDict()`. */
export async function saveNpz(path: string, { model, classes, preprocessing }: LoadedModel): Promise<string[]> {
  await writeNpz(path, toHost(model.stateDict()));
  const facts = [
    'the architecture',
    ...(classes === undefined ? [] : ['the classes']),
    ...(preprocessing === undefined ? [] : ['the preprocessing']),
  ];
  return [`${facts.join(', ')}: a .npz file holds arrays alone`];
}
