import type { Expression } from './expression.js';
import { printExpression } from './expression.js';
import type { Matrix } from './winograd.js';

// The two register-tiled schedules of the contraction. They work on operands that other kernels prepared: inputs that
// are channels-last and already padded, filters packed into panels.

/** One spatial axis of a phase: output position outStart + outStep · q reads input positions inStart + stride · q + dilation · t. */
export interface TileAxis {
  readonly count: number;
  readonly stride: number;
  readonly taps: number;
  readonly dilation: number;
  readonly inStart: number;
  readonly outStart: number;
  readonly outStep: number;
}

/** One dense gather over part of the output. Convolution has one phase; its input gradient stride^rank of them. */
export interface TilePhase {
  readonly axes: readonly TileAxis[];
  /** Which operand holds this phase's packed filter [groups, blocks, …taps, channelsIn, width]. */
  readonly filter: number;
}

/**
 * out[n, g·channelsOut + c, …o] = epilogue(Σ over taps and input channels of A[n, g·channelsIn + ci, …i] · B[g, c, tap, ci]).
 * Operand 0 is A. A register tile holds `rows` neighbouring positions of the last axis × `vectors` wide registers of
 * output channels. Without spatial axes, positions are the batch.
 */
export interface TileKernel {
  readonly kind: 'tile';
  readonly batch: number;
  readonly groups: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  readonly phases: readonly TilePhase[];
  /** Channels of one packed panel: vectors · lanes. */
  readonly width: number;
  /** Elements of a vector; default: the machine's. */
  readonly lanes?: number;
  readonly rows: number;
  /** Present where the sums are computed by Winograd's algorithm. */
  readonly winograd?: WinogradTiling;
  /** Present where several groups share a vector register. */
  readonly grouping?: Grouping;
  /** Present where neighbouring positions count as channels: what is said above of channels and positions is meant so. */
  readonly neighbours?: Neighbours;
  /** Over the output's axes [n, channel, …o]; `reduced(0)` is the sum. Operands other than A and the filters are its own. */
  readonly epilogue: Expression;
}

/**
 * Groups of few channels (depthwise: one): `together` neighbouring groups share a vector register, of A as well as of the output, and a lane
 * of A goes to the lanes of its group. Filter operands hold [blocks, …taps, channelsIn, together, channelsOut], zero where
 * the last block runs out of groups; `width` is together · channelsOut, `rows` as ever. A is not padded: positions outside of `extents` are zeros.
 */
export interface Grouping {
  readonly together: number;
  /** Of A's spatial axes. */
  readonly extents: readonly number[];
}

/**
 * Channel c of position q of the last axis stands for channel c mod `channels` of the ⌊c / channels⌋-th of the `positions` neighbouring ones
 * that begin at q. There is one group, and the output and Z have the channels fastest, so both lie at the same place.
 */
export interface Neighbours {
  readonly positions: number;
  readonly channels: number;
}

/**
 * Neighbouring outputs are computed together from transformed inputs and filters (kernel/winograd.ts): the filter operands hold
 * [groups, blocks, …points, channelsIn, width], points = outputs + taps − 1. Where `outputs` is not 1, an axis has stride equal to
 * dilation: a tile reads `points` positions, `dilation` apart. A is not padded: positions outside of `extents` are zeros.
 */
export interface WinogradTiling {
  /** Neighbouring outputs along each axis. */
  readonly outputs: readonly number[];
  /** Tiles that one thread works on together. */
  readonly tiles: number;
  /** Of A's spatial axes. */
  readonly extents: readonly number[];
}

/** out[b, …x, r] = Σ over k of Π matrices[s][x_s][k_s] · in[b, …k, r]: constant linear maps along axes. */
export interface MixKernel {
  readonly kind: 'mix';
  readonly matrices: readonly Matrix[];
  /** Elements before and behind these axes. */
  readonly outer: number;
  readonly run: number;
}

/** One spatial axis of {@link OuterKernel}: input position start + stride · o + dilation · t. */
export interface OuterAxis {
  readonly start: number;
  readonly count: number;
  readonly stride: number;
  readonly taps: number;
  readonly dilation: number;
}

/**
 * Partial sums of the filter gradient, one for each of `chunks` equal parts of the batch:
 * out[chunk, g, …taps, ci, co] = Σ over n in chunk and o of A[n, g·channelsIn + ci, …i] · Z[n, g·channelsOut + co, …o].
 * A fixed number of chunks makes the result independent of the number of threads.
 */
export interface OuterKernel {
  readonly kind: 'outer';
  readonly batch: number;
  readonly groups: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  readonly axes: readonly OuterAxis[];
  readonly chunks: number;
  readonly width: number;
  /** Elements of a vector; default: the machine's. */
  readonly lanes?: number;
  readonly rows: number;
  /** Present where the sums are computed by Winograd's algorithm. */
  readonly winograd?: WinogradSums;
  /** Present where several groups share a vector register; `rows` is how many positions are worked on together. */
  readonly grouping?: Grouping;
  /** Present where neighbouring positions of Z count as channels: position o of the last axis is the first of the `positions` from positions · o on. */
  readonly neighbours?: Neighbours;
}

/**
 * The kernel leaves sums of transformed inputs times transformed output gradients, out[chunk, g, …points, ci, co], which Gᵀ along every
 * axis turns into the filter's (kernel/winograd.ts). Where `outputs` is not 1, an axis has stride 1. A is not padded: positions outside of
 * `extents` are zeros.
 */
export interface WinogradSums {
  /** Neighbouring outputs along each axis. */
  readonly outputs: readonly number[];
  /** Tiles that one thread works on together. */
  readonly tiles: number;
  /** Into how many ranges the input and the output channels are divided, for threads. */
  readonly parts: readonly [input: number, output: number];
  /** Of A's spatial axes. */
  readonly extents: readonly number[];
}

/** How many operands a tile kernel reads by itself: A and the filters. Those behind them belong to its epilogue. */
export function ownOperands(k: TileKernel): number {
  return 1 + Math.max(0, ...k.phases.map((phase) => phase.filter));
}

export function printTile(k: TileKernel): string {
  const phases = k.phases.map(
    (p) =>
      `$${p.filter}: ${p.axes.map((a) => `${a.count}×(taps ${a.taps}, stride ${a.stride}, dilation ${a.dilation}, from ${a.inStart} to ${a.outStart}+${a.outStep}q)`).join(' ')}`,
  );
  const algorithm = printAlgorithm(k);
  return `tile${algorithm} ${k.rows}×${k.width} n=${k.batch} g=${k.groups} ci=${k.channelsIn} co=${k.channelsOut}; ${phases.join('; ')}; out = ${printExpression(k.epilogue)}`;
}

function printAlgorithm({ winograd, grouping, neighbours }: TileKernel | OuterKernel): string {
  if (winograd) return ` winograd ${winograd.outputs.join('×')}`;
  if (neighbours) return ` ${neighbours.positions} positions together`;
  return grouping ? ` ${grouping.together} groups together` : '';
}

export function printMix(k: MixKernel): string {
  return `mix ${k.matrices.map((matrix) => `${matrix.length}←${matrix[0].length}`).join(' × ')} of ${k.outer} × ${k.run}`;
}

export function printOuter(k: OuterKernel): string {
  const axes = k.axes.map((a) => `${a.count}×(taps ${a.taps}, stride ${a.stride}, dilation ${a.dilation})`).join(' ');
  const algorithm = printAlgorithm(k);
  return `outer${algorithm} ${k.rows}×${k.width} n=${k.batch}/${k.chunks} g=${k.groups} ci=${k.channelsIn} co=${k.channelsOut}; ${axes}`;
}
