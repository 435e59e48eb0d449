import { readFileSync } from 'node:fs';

const ANCHORS = JSON.parse(readFileSync(new URL('../anchors.json', import.meta.url), 'utf8'));

/**
 * How many times as fast a newer library is as the installed PyTorch, by `anchors.json`: for what cannot be installed here. Only PyTorch 1.13 and 2.14
 * are in there; for other versions there is no factor.
 *
 * @param part `convolutions` or `training`
 * @param id a case or a network
 * @param of `torch 2.14` or `oneDNN 2.6`
 * @param version of the installed PyTorch
 */
export function anchorRatio(part, id, threads, of, version) {
  const anchor = ANCHORS[part][id]?.[threads];
  const installed = version?.startsWith('1.') ? 'torch 1.13' : 'torch 2.14';
  if (anchor?.[of] === undefined || anchor[installed] === undefined) return undefined;
  const quotient = anchor[of] / anchor[installed];
  return part === 'training' ? 1 / quotient : quotient;
}
