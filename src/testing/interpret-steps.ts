import { rowMajor, sameOrder } from '../compiler/layout.js';
import { type Buffer, rootBuffer, type Step, type Steps, stridesOf, wholeOf } from '../compiler/steps.js';
import { interpretKernel, type KernelArray } from '../kernel/interpret.js';
import { interpretMix, interpretOuter, interpretTile } from '../kernel/interpret-tile.js';
import { allocateArray, type TypedArray } from '../tensor/dtype.js';
import { invariant } from '../tensor/errors.js';
import { sizeOf } from '../tensor/shape.js';

export interface StepsResult {
  readonly outputs: readonly TypedArray[];
  /** The contents of every input afterwards. */
  readonly inputs: readonly TypedArray[];
}

/**
 * Runs a program between any two passes, kernel by kernel, with the meaning of `kernel/interpret.ts`: the oracle for
 * passes. Floats are held in double precision, values never written are NaN or 77. Buffers that are aliases share memory,
 * so in-place updates happen in place.
 */
export function interpretSteps(program: Steps, inputs: readonly TypedArray[]): StepsResult {
  const memory = new Map<Buffer, TypedArray>();
  const contents = (buffer: Buffer): TypedArray => {
    const root = rootBuffer(buffer);
    let data = memory.get(root);
    if (data === undefined) {
      const { dtype, shape } = root.type;
      data = allocateArray(dtype === 'f32' ? 'f64' : dtype, sizeOf(shape)).fill(dtype === 'f32' ? Number.NaN : 77);
      memory.set(root, data);
    }
    return data;
  };
  // Memory is as the buffer's order has it; kernels see row-major arrays, of which what has another order is a copy.
  const array = (buffer: Buffer): KernelArray => {
    const data = contents(buffer);
    const place = placement(buffer);
    return { type: buffer.type, data: place === undefined ? data : pick(data, place) };
  };
  program.inputs.forEach((buffer, i) => {
    contents(buffer).set(inputs[i]);
  });
  const known = new Set<Buffer>(program.inputs.map(rootBuffer));
  for (const step of program.steps) {
    for (const operand of step.operands) {
      invariant(known.has(rootBuffer(operand)), `${step.name} reads what no step has written`);
    }
    const results = step.results.map(array);
    run(step, step.operands.map(array), results);
    step.results.forEach((result, n) => {
      known.add(rootBuffer(result));
      const data = contents(result);
      placement(result)?.forEach((at, i) => {
        data[at] = results[n].data[i];
      });
    });
  }
  const value = (buffer: Buffer): TypedArray => {
    invariant(known.has(rootBuffer(buffer)), 'an output was never written');
    return array(buffer).data.slice();
  };
  const outputs = program.outputs.map(value);
  const updates = program.updates.map((update) => ({ input: update.input, data: value(update.value) }));
  for (const { input, data } of updates) contents(input).set(data);
  return { outputs, inputs: program.inputs.map((buffer) => contents(buffer).slice()) };
}

function pick(data: TypedArray, place: readonly number[]): TypedArray {
  return data.slice(0, place.length).map((_, i) => data[place[i]]);
}

/** Where each element, counted row-major, lies in memory; undefined if memory is row-major. */
function placement(buffer: Buffer): number[] | undefined {
  const { type, order, within } = buffer;
  if (within === undefined && sameOrder(type.shape, order, rowMajor(type.shape))) return undefined;
  const strides = stridesOf(buffer);
  const first = wholeOf(buffer).start.reduce((n, position, d) => n + position * strides[d], 0);
  return Array.from({ length: sizeOf(type.shape) }, (_, flat) => {
    let rest = flat;
    let at = first;
    for (let axis = type.shape.length - 1; axis >= 0; axis--) {
      at += (rest % type.shape[axis]) * strides[axis];
      rest = Math.floor(rest / type.shape[axis]);
    }
    return at;
  });
}

function run({ kernel }: Step, operands: readonly KernelArray[], results: readonly KernelArray[]): void {
  if (kernel.kind === 'tile') interpretTile(kernel, operands, results[0]);
  else if (kernel.kind === 'mix') interpretMix(kernel, operands[0], results[0]);
  else if (kernel.kind === 'outer') interpretOuter(kernel, operands, results[0]);
  else interpretKernel(kernel, operands, results);
}
