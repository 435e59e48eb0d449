import type { ModelPort } from '../formats/model-port.js';
import type { DType } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';

/** `f32[N, 3, ?, ?]` */
export function formatPort({ dtype, shape }: ModelPort): string {
  return `${dtype ?? ''}${shape === undefined ? '[…]' : `[${shape.map((extent) => extent ?? '?').join(', ')}]`}`;
}

/** `data f32[1, 3, 224, 224]`, separated by commas. */
export function ports(list: readonly ModelPort[]): string {
  return list.map((port) => `"${port.name}" ${formatPort(port)}`).join(', ');
}

/** Whether an extent may be anything. */
export function isFree(extent: number | string | null): boolean {
  return typeof extent !== 'number' || extent === 0;
}

/**
 * Why a tensor is none for this port; undefined where it is.
 *
 * @param bound values of free extents by name, to which those of this tensor are added
 */
export function fitsPort(
  { dtype, shape }: ModelPort,
  found: DType,
  extents: Shape,
  bound: Map<string, number>,
): string | undefined {
  // Bytes count as whole numbers, double precision is computed in single.
  const fits =
    dtype === undefined ||
    dtype === found ||
    (dtype === 'i32' && found === 'u8') ||
    (dtype === 'f32' && found === 'f64');
  if (!fits) return `its elements must be ${dtype}`;
  if (shape === undefined) return undefined;
  if (shape.length !== extents.length) return `it must have ${shape.length} axes, not ${extents.length}`;
  for (const [axis, extent] of shape.entries()) {
    const here = extents[axis];
    if (typeof extent === 'string') {
      const known = bound.get(extent) ?? here;
      if (known !== here) return `"${extent}" is ${known}, not ${here}`;
      bound.set(extent, known);
    } else if (extent !== null && extent !== 0 && extent !== here && !(axis === 0 && extent === 1)) {
      // A batch of one in a file means: exported with one example.
      return `axis ${axis} must be ${extent}, not ${here}`;
    }
  }
  return undefined;
}
