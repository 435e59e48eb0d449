import type { Contraction } from '../kernel/contraction.js';
import { type Nest, printNest, type Reshape } from '../kernel/kernel.js';
import { type MixKernel, type OuterKernel, printMix, printOuter, printTile, type TileKernel } from '../kernel/tile.js';
import { formatType, type TensorType } from '../tensor/shape.js';

/** A block of memory of the program: one value under one physical layout. */
export interface Buffer {
  readonly id: number;
  readonly type: TensorType;
  /** Position among the program's inputs; undefined for temporaries. */
  readonly input: number | undefined;
  /** The dimensions from the slowest to the fastest varying one; fixed by the layout pass, row-major until then. */
  order: readonly number[];
  /** This buffer is another one under a different shape, or is written to the other's memory. */
  alias: Buffer | undefined;
  /** This buffer is a box of another one with as many dimensions, from `start` on, and its elements lie as they do there. */
  within: { readonly buffer: Buffer; readonly start: readonly number[] } | undefined;
}

/** Positions start[d] … start[d] + shape[d] − 1 along every dimension d. */
export interface Box {
  readonly start: readonly number[];
  readonly shape: readonly number[];
}

/** A group of steps at the front of a program whose results stay valid from run to run until one of these inputs changes. */
export interface Preparation {
  /** Positions among the program's inputs, ascending. */
  readonly inputs: readonly number[];
}

/** One kernel with its memory. */
export interface Step {
  readonly name: string;
  readonly kernel: Nest | Contraction | Reshape | TileKernel | OuterKernel | MixKernel;
  readonly operands: readonly Buffer[];
  readonly results: readonly Buffer[];
  readonly scope: string;
  /** Orders that the kernel demands of operands; the layout pass inserts copies where they differ. */
  readonly operandOrders?: readonly (readonly number[] | undefined)[];
  /** The order that the kernel demands of its results; otherwise the layout pass chooses. */
  readonly resultOrder?: readonly number[];
  /** The group that the step belongs to; undefined: it runs every time. */
  readonly preparation?: Preparation;
}

/** What the passes transform: steps in execution order. */
export interface Steps {
  readonly inputs: readonly Buffer[];
  readonly steps: readonly Step[];
  readonly outputs: readonly Buffer[];
  readonly updates: readonly { readonly input: Buffer; readonly value: Buffer }[];
}

let bufferIds = 0;

export function makeBuffer(type: TensorType, input?: number): Buffer {
  return {
    id: bufferIds++,
    type,
    input,
    order: type.shape.map((_, axis) => axis),
    alias: undefined,
    within: undefined,
  };
}

/** Follows aliases and boxes to the buffer that owns the memory. */
export function rootBuffer(buffer: Buffer): Buffer {
  let root = buffer;
  for (;;) {
    const next = root.alias ?? root.within?.buffer;
    if (next === undefined) return root;
    root = next;
  }
}

/** The whole that a buffer is a box of (itself, if it is none), and where the box begins there. */
export function wholeOf(buffer: Buffer): { whole: Buffer; start: readonly number[] } {
  let whole = buffer;
  let start: readonly number[] = buffer.type.shape.map(() => 0);
  while (whole.within !== undefined) {
    const { within } = whole;
    start = start.map((position, d) => position + within.start[d]);
    whole = within.buffer;
  }
  return { whole, start };
}

/** Whether two buffers are boxes of one that have nothing in common. */
export function apart(a: Buffer, b: Buffer): boolean {
  const [x, y] = [wholeOf(a), wholeOf(b)];
  if (x.whole !== y.whole) return false;
  const meets = (start: number, d: number): boolean =>
    start < y.start[d] + b.type.shape[d] && y.start[d] < start + a.type.shape[d];
  return !x.start.every(meets);
}

/** Elements between neighbours along every dimension, as they lie in memory. */
export function stridesOf(buffer: Buffer): number[] {
  const { type, order } = wholeOf(buffer).whole;
  const strides = new Array<number>(type.shape.length);
  let stride = 1;
  for (const axis of [...order].reverse()) {
    strides[axis] = stride;
    stride *= type.shape[axis];
  }
  return strides;
}

/** How many times each buffer is read by steps. Reads by the program's outputs and updates are not counted. */
export function countReads(steps: readonly Step[]): Map<Buffer, number> {
  const reads = new Map<Buffer, number>();
  for (const step of steps) {
    for (const operand of new Set(step.operands)) reads.set(operand, (reads.get(operand) ?? 0) + 1);
  }
  return reads;
}

/** Buffers that must exist after the program: its outputs and the values of updates. */
export function escaping(program: Steps): Set<Buffer> {
  return new Set([...program.outputs, ...program.updates.map((update) => update.value)]);
}

/** All preparations of a program, in the order of their first steps. */
export function preparationsOf(steps: readonly Step[]): Preparation[] {
  return [...new Set(steps.flatMap(({ preparation }) => (preparation === undefined ? [] : [preparation])))];
}

/** The program as text, one step a line. */
export function printSteps(program: Steps): string {
  const numbers = new Map<Buffer, number>();
  const name = (buffer: Buffer): string => {
    if (!numbers.has(buffer)) numbers.set(buffer, numbers.size);
    const order = buffer.order.some((axis, i) => axis !== i) ? `@${buffer.order.join('')}` : '';
    const { alias, within } = buffer;
    const inside = within === undefined ? '' : `⊂${name(within.buffer)}[${within.start}]`;
    return `b${numbers.get(buffer)}:${formatType(buffer.type)}${order}${alias ? `=${name(alias)}` : inside}`;
  };
  const lines = program.steps.map((step) => {
    const head = `${step.results.map(name).join(', ')} = ${step.name}(${step.operands.map(name).join(', ')})`;
    const when = step.preparation ? `   when inputs [${step.preparation.inputs}] change` : '';
    return `  ${head}${when}${step.scope ? `   # ${step.scope}` : ''}\n      ${printKernel(step.kernel)}`;
  });
  lines.push(`  return ${program.outputs.map(name).join(', ')}`);
  for (const { input, value } of program.updates) lines.push(`  update ${name(input)} ← ${name(value)}`);
  return lines.join('\n');
}

function printKernel(kernel: Step['kernel']): string {
  switch (kernel.kind) {
    case 'nest':
      return printNest(kernel);
    case 'contraction':
      return `contraction ${kernel.role} ${JSON.stringify(kernel.geometry)}`;
    case 'tile':
      return printTile(kernel);
    case 'outer':
      return printOuter(kernel);
    case 'mix':
      return printMix(kernel);
    case 'reshape':
      return 'reshape';
  }
}
