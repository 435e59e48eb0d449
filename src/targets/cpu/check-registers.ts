import { bug } from '../../tensor/errors.js';
import type { Register } from './machine.js';

// What every vector machine checks of the registers that kernels give it.

/** For messages: `wide f32`. */
export function describeRegister({ kind, wide }: Register): string {
  return `${wide ? 'wide' : 'scalar'} ${kind}`;
}

/** Whether it can be an address, a counter or a bound. */
export function isInt({ kind, wide }: Register): boolean {
  return kind === 'i32' && !wide;
}

/** @throws where the operands of `what` are not of one type. */
export function checkSame(what: string, a: Register, b: Register): void {
  if (a.kind === b.kind && a.wide === b.wide) return;
  throw bug(`${what}: ${describeRegister(a)} and ${describeRegister(b)} are not of one type`);
}
