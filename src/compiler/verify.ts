import { type Expression, isIndirect, type Subscript, visitExpression } from '../kernel/expression.js';
import { expressionsOf, type Nest, termsOf } from '../kernel/nest.js';
import { invariant } from '../tensor/errors.js';
import { formatType, sameShape, sizeOf } from '../tensor/shape.js';
import { apart, type Buffer, type Preparation, rootBuffer, type Step, type Steps } from './steps.js';

/** Steps whose kernels fit their operands and results, which never change. */
const verified = new WeakSet<Step>();

/** Checks the invariants that every pass over steps must keep; `after` names the pass in the message. */
export function verifySteps(program: Steps, after: string): void {
  const defined = new Set<Buffer>(program.inputs);
  const boxes = new Map<Buffer, Buffer[]>();
  for (const step of program.steps) {
    const where = (): string => `after ${after}: ${step.name}`;
    for (const operand of step.operands) {
      invariant(isDefined(operand, defined), () => `${where()} reads what no step wrote yet`);
    }
    for (const result of step.results) {
      invariant(!defined.has(result), () => `${where()} writes a ${formatType(result.type)} that was written before`);
      const { order } = result;
      invariant(
        isOrder(order, result.type.shape.length),
        () => `${where()}: [${order}] is no order of ${formatType(result.type)}`,
      );
      defined.add(result);
      verifyBox(result, boxes, defined, where);
    }
    // Most steps stay the same from pass to pass.
    if (!verified.has(step)) verifyKernel(step, where);
    verified.add(step);
  }
  for (const buffer of [...program.outputs, ...program.updates.map((update) => update.value)]) {
    invariant(isDefined(buffer, defined), () => `after ${after}: a result is never written`);
  }
  verifyPreparations(program, after);
}

/** Whether a buffer was written, or one that it is a part of: a part of a part need not wait for the whole. */
function isDefined(buffer: Buffer, defined: ReadonlySet<Buffer>): boolean {
  for (let at: Buffer | undefined = buffer; at !== undefined; at = at.alias ?? at.within?.buffer) {
    if (defined.has(at)) return true;
  }
  return false;
}

function isOrder(order: readonly number[], axes: number): boolean {
  if (order.length !== axes) return false;
  for (let axis = 0; axis < axes; axis++) if (!order.includes(axis)) return false;
  return true;
}

/** Boxes lie inside of their whole and apart from each other; when all are written, so is the whole. */
function verifyBox(box: Buffer, boxes: Map<Buffer, Buffer[]>, defined: Set<Buffer>, where: () => string): void {
  if (box.within === undefined) return;
  const { buffer: whole, start } = box.within;
  const { shape, dtype } = whole.type;
  invariant(
    box.alias === undefined && box.type.dtype === dtype && start.length === shape.length,
    () => `${where()}: a ${formatType(box.type)} is no box of a ${formatType(whole.type)}`,
  );
  invariant(
    start.every((from, d) => from >= 0 && from + box.type.shape[d] <= shape[d]),
    () => `${where()}: a ${formatType(box.type)} at [${start}] sticks out of a ${formatType(whole.type)}`,
  );
  const others = boxes.get(whole) ?? [];
  invariant(
    others.every((other) => apart(box, other)),
    () => `${where()}: boxes of a ${formatType(whole.type)} overlap`,
  );
  boxes.set(whole, [...others, box]);
  const written = [...others, box].reduce((n, { type }) => n + sizeOf(type.shape), 0);
  if (written < sizeOf(shape)) return;
  defined.add(whole);
  verifyBox(whole, boxes, defined, where);
}

/** Prepared steps come first, and need nothing but their inputs, which the program does not write, and each other. */
function verifyPreparations({ steps, outputs }: Steps, after: string): void {
  if (steps.every(({ preparation }) => preparation === undefined)) return;
  const made = new Map<Buffer, Preparation>();
  const needed = new Set<number>();
  let everyTime = false;
  for (const { name, preparation, operands, results } of steps) {
    const where = (): string => `after ${after}: ${name}`;
    if (preparation === undefined) {
      everyTime = true;
      for (const { input } of results.map(rootBuffer)) {
        invariant(
          input === undefined || !needed.has(input),
          () => `${where()} writes input ${input}, of which filters are kept`,
        );
      }
      continue;
    }
    invariant(!everyTime, () => `${where()} is prepared behind a step that runs every time`);
    const { inputs } = preparation;
    for (const input of inputs) needed.add(input);
    for (const operand of operands.map(rootBuffer)) {
      const from = operand.input !== undefined ? [operand.input] : made.get(operand)?.inputs;
      invariant(
        from?.every((input) => inputs.includes(input)),
        () => `${where()} needs more than the inputs [${inputs}]`,
      );
    }
    for (const result of results.map(rootBuffer)) {
      invariant(result.input === undefined, () => `${where()} is prepared and writes input ${result.input}`);
      made.set(result, preparation);
    }
  }
  for (const output of outputs) {
    invariant(
      !made.has(rootBuffer(output)),
      () => `after ${after}: an output is written by a step that does not always run`,
    );
  }
}

function verifyKernel({ kernel, operands, results }: Step, where: () => string): void {
  const check = (expression: Expression): void =>
    visitExpression(expression, (e) => {
      if (e.kind !== 'load') return;
      const operand = operands[e.operand];
      invariant(operand !== undefined, () => `${where()} loads operand ${e.operand} of ${operands.length}`);
      invariant(
        e.index.length === operand.type.shape.length && e.dtype === operand.type.dtype,
        () => `${where()} loads ${e.dtype} at ${e.index.length} indices from ${formatType(operand.type)}`,
      );
      e.index.forEach((index, axis) => {
        if (!isIndirect(index)) return;
        invariant(
          index.value.dtype === 'i32' && index.extent >= 1 && index.extent <= operand.type.shape[axis],
          () =>
            `${where()} loads at a ${index.value.dtype} below ${index.extent} along axis ${axis} of ${formatType(operand.type)}`,
        );
      });
    });
  if (kernel.kind === 'nest') {
    expressionsOf(kernel).forEach(check);
    verifyScatter(kernel, where);
    invariant(kernel.outputs.length === results.length, () => `${where()} has ${results.length} results`);
    results.forEach((result, i) => {
      const { shape, dtype } = result.type;
      invariant(
        kernel.outputs[i].dtype === dtype,
        () => `${where()}: result ${i} is ${dtype}, computed as ${kernel.outputs[i].dtype}`,
      );
      invariant(
        kernel.outputIndex === undefined
          ? sameShape(kernel.parallel, shape)
          : kernel.outputIndex.length === shape.length && sizeOf(kernel.parallel) === sizeOf(shape),
        () => `${where()}: loops over [${kernel.parallel}] do not fill ${formatType(result.type)}`,
      );
    });
  } else if (kernel.kind === 'tile') {
    check(kernel.epilogue);
    for (const { filter } of kernel.phases)
      invariant(operands[filter] !== undefined, () => `${where()} lacks filter ${filter}`);
  }
}

/** What {@link Nest.scatter} demands. */
function verifyScatter(nest: Nest, where: () => string): void {
  const { scatter, reducers, outputs } = nest;
  if (scatter === undefined) return;
  invariant(
    scatter.axis < nest.parallel.length && scatter.position.dtype === 'i32' && nest.outputIndex === undefined,
    () => `${where()} scatters by ${scatter.position.dtype} along axis ${scatter.axis} of [${nest.parallel}]`,
  );
  const [output] = outputs;
  invariant(
    reducers.length === 1 && reducers[0].kind === 'sum' && outputs.length === 1 && output.kind === 'reduced',
    () => `${where()} scatters something else than one sum`,
  );
  const own = (index: Subscript): boolean =>
    !isIndirect(index) && index.terms.some((term) => term.axis === scatter.axis);
  for (const term of termsOf(nest)) {
    visitExpression(term, (e) => {
      const indices =
        e.kind === 'load'
          ? e.index
          : e.kind === 'axis'
            ? [e.index]
            : e.kind === 'guard'
              ? e.checks.map((c) => c.index)
              : [];
      invariant(!indices.some(own), () => `${where()} scatters what depends on the axis that it scatters along`);
    });
  }
}
