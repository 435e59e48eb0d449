import type { Json } from '../nn/config.js';
import type { Module } from '../nn/module.js';
import { formatExtents } from './format.js';

/** Geometry of a layer's window in words: `5×5`, then what is not the default, as in `3×3 stride 2 pad 1 groups 4`. */
export function describeKernel(module: Module): string {
  let config: { readonly [key: string]: Json };
  try {
    config = module.config();
  } catch {
    return ''; // modules of users need not have one
  }
  const { kernelSize, stride, padding, dilation, groups, depthMultiplier } = config;
  if (!isExtents(kernelSize)) return '';
  // Pooling steps by its window unless told otherwise, convolution by one.
  const usual = groups === undefined && depthMultiplier === undefined ? kernelSize : kernelSize.map(() => 1);
  const parts = [formatExtents(kernelSize)];
  const other = (name: string, value: Json | undefined, standard: readonly number[]): void => {
    if (typeof value === 'string') parts.push(`${name} ${value}`);
    else if (isExtents(value) && !value.every((extent, axis) => extent === standard[axis])) {
      parts.push(`${name} ${value.every((extent) => extent === value[0]) ? value[0] : formatExtents(value)}`);
    }
  };
  const each = (value: Json | undefined): Json | undefined =>
    typeof value === 'number' ? kernelSize.map(() => value) : value;
  other('stride', each(stride), usual);
  other('pad', each(padding), [0, 0, 0]);
  other('dilation', each(dilation), [1, 1, 1]);
  if (typeof groups === 'number' && groups > 1) parts.push(`groups ${groups}`);
  return parts.join(' ');
}

function isExtents(value: Json | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((extent) => typeof extent === 'number');
}
