import { axisIndex, isIndirect, load, type Subscript, visitExpression } from '../kernel/expression.js';
import { mapNest, termsOf } from '../kernel/kernel.js';
import { DTYPES } from '../tensor/dtype.js';
import { sizeOf } from '../tensor/shape.js';
import {
  type Buffer,
  makeBuffer,
  type Preparation,
  rootBuffer,
  type Step,
  type Steps,
  stridesOf,
  wholeOf,
} from './steps.js';

/** Where a buffer lies: `offset` bytes into the arena that the program owns, or into the memory of one of its inputs or outputs. */
export type Location =
  | { readonly kind: 'arena'; readonly offset: number }
  | { readonly kind: 'input'; readonly input: number; readonly offset: number }
  | { readonly kind: 'output'; readonly output: number; readonly offset: number };

export interface MemoryPlan {
  readonly arenaBytes: number;
  /** The sum of all temporaries, had each its own memory. */
  readonly temporaryBytes: number;
  location(buffer: Buffer): Location;
}

const ALIGNMENT = 64;
/** Wide loads may read past the end. */
const SLACK = 64;

export function bytesOf(buffer: Buffer): number {
  return sizeOf(buffer.type.shape) * DTYPES[buffer.type.dtype].bytes;
}

/**
 * Turns updates into writes: the step that computes the new contents writes them over the old ones where nothing reads
 * those afterwards; otherwise a copy at the end does.
 */
export function resolveUpdates(program: Steps): Steps {
  const steps = [...program.steps];
  const outputs = new Set(program.outputs.map(rootBuffer));
  const claimed = new Set<Buffer>();
  const early: Step[] = [];
  const late: Step[] = [];
  // Before any value is given the memory of an input: one value may be what several inputs become.
  const roots = program.updates.map(({ value }) => rootBuffer(value));
  for (const [i, { input, value }] of program.updates.entries()) {
    const root = roots[i];
    if (root === input) continue;
    const at = steps.findIndex((step) => step.results.includes(root));
    const reuse =
      at >= 0 &&
      root === value &&
      !outputs.has(root) &&
      !claimed.has(root) &&
      steps.every(
        (step, n) =>
          n < at || !step.operands.some((o) => rootBuffer(o) === input) || (n === at && readsInPlace(step, input)),
      );
    if (reuse) {
      claimed.add(root);
      root.alias = input;
      continue;
    }
    let source = value;
    if (root.input !== undefined) {
      // The other input may itself be overwritten: all updates see the old contents.
      source = makeBuffer(value.type);
      early.push(copyStep(value, source));
    }
    const target = makeBuffer(input.type);
    target.alias = input;
    late.push(copyStep(source, target));
  }
  const prepared = steps.filter(({ preparation }) => preparation !== undefined);
  const others = steps.slice(prepared.length);
  return { ...program, steps: [...prepared, ...early, ...others, ...late], updates: [] };
}

function copyStep(from: Buffer, to: Buffer): Step {
  const index = from.type.shape.map((_, axis) => axisIndex(axis));
  const kernel = mapNest(from.type.shape, load(0, from.type.dtype, index));
  return { name: 'update', kernel, operands: [from], results: [to], scope: '' };
}

/** Whether the step reads `buffer` only at the very position that it writes. */
function readsInPlace(step: Step, buffer: Buffer): boolean {
  const { kernel } = step;
  const own = (index: readonly Subscript[], shape: readonly number[]): boolean =>
    index.every(
      (i, axis) =>
        !isIndirect(i) &&
        i.divisor === 1 &&
        i.offset === 0 &&
        (shape[axis] === 1 || (i.terms.length === 1 && i.terms[0].axis === axis && i.terms[0].factor === 1)),
    );
  let inPlace = true;
  const check = (e: Parameters<typeof visitExpression>[0]): void =>
    visitExpression(e, (node) => {
      if (node.kind !== 'load' || rootBuffer(step.operands[node.operand]) !== buffer) return;
      if (!own(node.index, buffer.type.shape)) inPlace = false;
    });
  if (kernel.kind === 'nest' && kernel.outputIndex === undefined) {
    if (kernel.parallel.length !== buffer.type.shape.length) return false;
    let body = false;
    for (const term of termsOf(kernel)) {
      visitExpression(term, (node) => {
        if (node.kind === 'load' && rootBuffer(step.operands[node.operand]) === buffer) body = true;
      });
    }
    if (body) return false;
    kernel.outputs.forEach(check);
    return inPlace;
  }
  return false;
}

/** Results of prepared steps that must outlive a run: other steps read them, which may run when their own preparation does not. */
export function keptBuffers({ steps }: Steps): Set<Buffer> {
  const makers = new Map<Buffer, Preparation>();
  const kept = new Set<Buffer>();
  for (const { operands, results, preparation } of steps) {
    for (const operand of operands) {
      const maker = makers.get(rootBuffer(operand));
      if (maker !== undefined && maker !== preparation) kept.add(rootBuffer(operand));
    }
    if (preparation === undefined) continue;
    for (const result of results) makers.set(rootBuffer(result), preparation);
  }
  return kept;
}

/**
 * Assigns memory to every buffer: those that are never alive at the same time may share it. What is kept from run to run is always
 * alive.
 */
export function planMemory(program: Steps): MemoryPlan {
  const outputs = new Map(program.outputs.map((buffer, i) => [rootBuffer(buffer), i]));
  const lives = new Map<Buffer, { first: number; last: number }>();
  program.steps.forEach((step, i) => {
    for (const buffer of [...step.results, ...step.operands]) {
      const root = rootBuffer(buffer);
      if (root.input !== undefined || outputs.has(root)) continue;
      const life = lives.get(root);
      if (life === undefined) lives.set(root, { first: i, last: i });
      else life.last = i;
    }
  });
  for (const buffer of keptBuffers(program)) lives.set(buffer, { first: 0, last: program.steps.length });
  const offsets = new Map<Buffer, number>();
  const placed: { offset: number; end: number; first: number; last: number }[] = [];
  const roundUp = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT;
  const bySize = [...lives].sort((a, b) => bytesOf(b[0]) - bytesOf(a[0]) || a[0].id - b[0].id);
  let arenaBytes = 0;
  let temporaryBytes = 0;
  for (const [buffer, { first, last }] of bySize) {
    const bytes = roundUp(bytesOf(buffer)) + SLACK;
    const conflicts = placed.filter((p) => p.first <= last && first <= p.last).sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const p of conflicts) {
      if (offset + bytes <= p.offset) break;
      offset = Math.max(offset, p.end);
    }
    placed.push({ offset, end: offset + bytes, first, last });
    offsets.set(buffer, offset);
    arenaBytes = Math.max(arenaBytes, offset + bytes);
    temporaryBytes += bytes;
  }
  return {
    arenaBytes,
    temporaryBytes,
    location(buffer): Location {
      const root = rootBuffer(buffer);
      const strides = stridesOf(buffer);
      const first = wholeOf(buffer).start.reduce((n, position, d) => n + position * strides[d], 0);
      const offset = first * DTYPES[root.type.dtype].bytes;
      if (root.input !== undefined) return { kind: 'input', input: root.input, offset };
      const output = outputs.get(root);
      if (output !== undefined) return { kind: 'output', output, offset };
      return { kind: 'arena', offset: (offsets.get(root) as number) + offset };
    },
  };
}
