import { ownOperands } from '../kernel/tile.js';
import { evaluations } from './fuse.js';
import { bytesOf } from './memory.js';
import { type Buffer, type Preparation, rootBuffer, type Step, type Steps } from './steps.js';
import { Structures } from './structure.js';

/** What is kept between runs takes at most so much memory per program; filters beyond are packed in every run. */
const PREPARED_BYTES: number = 2 ** 30;
/** What is no filter is kept where it is small and each element is read so often, as are the scales of a folded normalisation. */
const READS = 4;
const SMALL_BYTES = 2 ** 16;

/**
 * Finds the steps that turn inputs into filters of contractions (packing, transforms, arithmetic on parameters) and into what is small
 * beside its readers (scale and shift of each channel): they only have to run again when one of these inputs has changed. They move to
 * the front, and each gets its {@link Step.preparation}. Equal ones (a filter that several layers share) become one.
 *
 * Not among them: what depends on an input that this program writes, contractions, and steps that something else is computed from,
 * which would keep activations.
 */
export function prepareSteps(program: Steps, limit: number = PREPARED_BYTES): Steps {
  const writes = writtenInputs(program);
  const candidates = program.steps.filter(({ kernel }) => kernel.kind === 'nest' || kernel.kind === 'mix');
  const all = closure(program, writes, new Set(candidates));
  const prepared = closure(program, writes, withinLimit(program.steps, all, limit));
  const inputs = new Map<Buffer, ReadonlySet<number>>();
  const groups = new Map<string, Preparation>();
  const merge = mergeEqual(program.steps);
  const first: Step[] = [];
  for (const original of program.steps) {
    if (!prepared.has(original)) continue;
    const step = merge.step(original);
    if (step === undefined) continue;
    const from = new Set<number>();
    for (const operand of step.operands) {
      const root = rootBuffer(operand);
      if (root.input !== undefined) from.add(root.input);
      for (const input of inputs.get(root) ?? []) from.add(input);
    }
    for (const result of step.results) inputs.set(rootBuffer(result), from);
    const sorted = [...from].sort((a, b) => a - b);
    const preparation = groups.get(`${sorted}`) ?? { inputs: sorted };
    groups.set(`${sorted}`, preparation);
    first.push({ ...step, preparation });
  }
  const others = program.steps.filter((step) => !prepared.has(step));
  return { ...program, steps: [...first, ...others.map(merge.reader)] };
}

/** `step` is undefined for a step that equals an earlier one; it and `reader` read the results of the first of equal ones. */
function mergeEqual(steps: readonly Step[]): { step(step: Step): Step | undefined; reader(step: Step): Step } {
  const aliased = new Set<Buffer>();
  for (const { operands } of steps) {
    for (const operand of operands) if (operand.alias !== undefined) aliased.add(rootBuffer(operand));
  }
  // Not text: an expression names shared parts as often as they are used.
  const structures = new Structures();
  const found = new Map<number, Step>();
  const replaced = new Map<Buffer, Buffer>();
  const reader = (step: Step): Step =>
    step.operands.some((operand) => replaced.has(operand))
      ? { ...step, operands: step.operands.map((operand) => replaced.get(operand) ?? operand) }
      : step;
  return {
    reader,
    step(original) {
      const step = reader(original);
      if (step.results.some((result) => aliased.has(result))) return step;
      const operands = step.operands.map(({ id }) => id);
      const results = step.results.map(({ type, order }) => ({ type, order }));
      const key = structures.numberOf([step.kernel, operands, results]);
      const first = found.get(key);
      if (first === undefined) {
        found.set(key, step);
        return step;
      }
      step.results.forEach((result, i) => {
        replaced.set(result, first.results[i]);
      });
      return undefined;
    },
  };
}

/** The inputs whose memory a program writes, after updates have been resolved. */
export function writtenInputs({ steps, updates }: Steps): Set<Buffer> {
  const written = new Set(updates.map(({ input }) => rootBuffer(input)));
  for (const { results } of steps) {
    for (const result of results) if (rootBuffer(result).input !== undefined) written.add(rootBuffer(result));
  }
  return written;
}

/** Operands of a kernel that may be kept: filters in the form that it wants, and what its expressions read many times. */
function keptOperands(step: Step): Set<Buffer> {
  const { kernel, operands } = step;
  const filters = new Set(kernel.kind === 'tile' ? kernel.phases.map(({ filter }) => filter) : []);
  const own = kernel.kind === 'tile' ? ownOperands(kernel) : 0;
  const small = (operand: Buffer): boolean => bytesOf(operand) <= SMALL_BYTES && evaluations(step, operand) >= READS;
  const kept = operands.filter((operand, i) => filters.has(i) || (i >= own && small(operand)));
  const others = new Set(operands.filter((operand) => !kept.includes(operand)).map(rootBuffer));
  return new Set(kept.map(rootBuffer).filter((buffer) => !others.has(buffer)));
}

/** The largest part of `steps` that is computed from unwritten inputs and itself, and read by itself and as what may be kept alone. */
function closure(program: Steps, writes: ReadonlySet<Buffer>, steps: ReadonlySet<Step>): Set<Step> {
  let current = new Set(steps);
  for (;;) {
    const before = current.size;
    current = computable(program, writes, onlyKept(program, current));
    if (current.size === before) return current;
  }
}

function onlyKept(program: Steps, steps: ReadonlySet<Step>): Set<Step> {
  const read = new Set(program.outputs.map(rootBuffer));
  for (const { value } of program.updates) read.add(rootBuffer(value));
  const found = new Set<Step>();
  for (let i = program.steps.length - 1; i >= 0; i--) {
    const step = program.steps[i];
    const results = step.results.map(rootBuffer);
    if (steps.has(step) && results.every((result) => result.input === undefined && !read.has(result))) {
      found.add(step);
      continue;
    }
    const kept = keptOperands(step);
    for (const operand of step.operands) if (!kept.has(rootBuffer(operand))) read.add(rootBuffer(operand));
  }
  return found;
}

function computable(program: Steps, writes: ReadonlySet<Buffer>, steps: ReadonlySet<Step>): Set<Step> {
  const known = new Set(program.inputs.filter((input) => !writes.has(input)));
  const kept = new Set<Step>();
  for (const step of program.steps) {
    if (!steps.has(step) || !step.operands.every((operand) => known.has(rootBuffer(operand)))) continue;
    kept.add(step);
    for (const result of step.results) known.add(rootBuffer(result));
  }
  return kept;
}

/** Without the steps that would keep more memory than there is, the first ones first. */
function withinLimit(steps: readonly Step[], prepared: ReadonlySet<Step>, limit: number): Set<Step> {
  const operands = new Set(steps.flatMap((step) => [...keptOperands(step)]));
  let bytes = 0;
  const kept = new Set<Step>();
  for (const step of steps) {
    if (!prepared.has(step)) continue;
    const own = step.results.reduce((n, result) => n + (operands.has(rootBuffer(result)) ? bytesOf(result) : 0), 0);
    if (bytes + own > limit) continue;
    bytes += own;
    kept.add(step);
  }
  return kept;
}
