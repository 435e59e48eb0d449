import { Arithmetic } from './arithmetic.js';
import type { Register, VectorMachine } from './machine.js';

/** A run of taps of one axis: those that stay inside. */
export interface TapRange {
  readonly from: Register | number;
  readonly to: Register | number;
}

/** The taps t with 0 ≤ first + dilation · t < extent, for a position known when the code runs. */
export function tapsInside(
  m: VectorMachine,
  first: Register,
  { taps, dilation }: { readonly taps: number; readonly dilation: number },
  extent: number,
): TapRange {
  const a = new Arithmetic(m);
  const zero = m.constant('i32', 0);
  /** max(0, ⌈value / dilation⌉) */
  const steps = (value: Register): Register => {
    const positive = m.binary('max', value, zero);
    return dilation === 1 ? positive : m.divide(a.plus(positive, dilation - 1), dilation);
  };
  return {
    from: steps(m.binary('sub', zero, first)),
    to: a.atMost(steps(m.binary('sub', m.constant('i32', extent), first)), taps),
  };
}

/** Lane l of the result is the channel `channel` of the group that output lane l belongs to. */
export function spreadChannel(
  m: VectorMachine,
  source: Register,
  channel: number,
  k: { readonly channelsIn: number; readonly channelsOut: number },
  together: number,
): Register {
  if (k.channelsIn === 1 && k.channelsOut === 1) return source;
  const lanes = Array.from({ length: m.lanes }, (_, lane) => {
    const group = Math.floor(lane / k.channelsOut);
    return group < together ? group * k.channelsIn + channel : lane;
  });
  return m.permute(source, lanes);
}
