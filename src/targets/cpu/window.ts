import { Arithmetic } from './arithmetic.js';
import { positions } from './linear.js';
import type { Register, VectorMachine } from './machine.js';

/** Positions of a window along one axis: first, first + step, … (`points` of them); those outside of 0 ≤ position < extent are zeros. */
export interface WindowAxis {
  readonly points: number;
  readonly step: number;
  readonly extent: number;
  /** Bytes between neighbouring positions. */
  readonly bytes: number;
  /** The least and the largest `first` that occurs. */
  readonly least: number;
  readonly most: number;
  /** Whether some `first` of those that occur leaves all of the window inside. */
  readonly sometimesInside: boolean;
}

/** Loads every point of a window, row-major, `channel` bytes behind its address. */
export type LoadWindow = (channel: Register, count: number) => Register[];

/** Whether a window may leave its operand, so that it needs zeros. */
export function leaves(axes: readonly WindowAxis[]): boolean {
  return axes.some((axis) => below(axis) || beyond(axis));
}

function below({ least }: WindowAxis): boolean {
  return least < 0;
}

function beyond({ most, points, step, extent }: WindowAxis): boolean {
  return most + step * (points - 1) >= extent;
}

/**
 * Emits `body` for windows of an operand that is not padded: once for those that lie inside, where points are at constant distances, and
 * once for those that do not, where each point has an address, which for points outside is that of zeros.
 *
 * @param base the address of position 0.
 * @param first the first position of the window along each axis.
 * @param zeros the address of as many zeros as there are channels; undefined where no window leaves the operand ({@link leaves}).
 */
export function inWindow(
  m: VectorMachine,
  axes: readonly WindowAxis[],
  base: Register,
  first: readonly Register[],
  zeros: Register | undefined,
  body: (load: LoadWindow) => void,
): void {
  const a = new Arithmetic(m);
  const points = positions(axes.map((axis) => axis.points));
  const inner = (): void => {
    const corner = axes.reduce((sum, { bytes }, s) => a.plus(sum, a.times(first[s], bytes)), base);
    const offsets = points.map((point) => point.reduce((sum, p, s) => sum + p * axes[s].step * axes[s].bytes, 0));
    body((channel, count) => {
      const address = a.plus(corner, channel);
      return offsets.map((offset) => m.load('f32', true, address, offset, count));
    });
  };
  if (zeros === undefined) {
    inner();
    return;
  }
  const border = (): void => {
    const places = axes.map((axis, s) =>
      Array.from({ length: axis.points }, (_, p) => {
        const position = a.plus(first[s], p * axis.step);
        const checks: Register[] = [];
        if (axis.least + p * axis.step < 0) checks.push(m.compare('ge', position, m.constant('i32', 0)));
        if (axis.most + p * axis.step >= axis.extent) {
          checks.push(m.compare('lt', position, m.constant('i32', axis.extent)));
        }
        return { address: a.times(position, axis.bytes), checks };
      }),
    );
    const addresses = points.map((point) => {
      const address = point.reduce((sum, p, s) => a.plus(sum, places[s][p].address), base);
      const checks = point.flatMap((p, s) => places[s][p].checks);
      return checks.length === 0 ? address : m.select(all(m, checks), address, zeros);
    });
    body((channel, count) => addresses.map((address) => m.load('f32', true, a.plus(address, channel), 0, count)));
  };
  if (!axes.every((axis) => axis.sometimesInside)) {
    border();
    return;
  }
  const checks = axes.flatMap((axis, s) => [
    ...(below(axis) ? [m.compare('ge', first[s], m.constant('i32', 0))] : []),
    ...(beyond(axis)
      ? [m.compare('le', first[s], m.constant('i32', axis.extent - 1 - axis.step * (axis.points - 1)))]
      : []),
  ]);
  m.when(all(m, checks), inner, border);
}

function all(m: VectorMachine, masks: readonly Register[]): Register {
  return masks.reduce((x, y) => m.binary('and', x, y));
}
