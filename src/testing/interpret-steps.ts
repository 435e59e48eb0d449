import { type Buffer, rootBuffer, type Step, type Steps } from '../compiler/steps.js';
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
 * logically row-major, so in-place updates happen in place.
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
  const array = (buffer: Buffer): KernelArray => ({ type: buffer.type, data: contents(buffer) });
  program.inputs.forEach((buffer, i) => {
    contents(buffer).set(inputs[i]);
  });
  const known = new Set<Buffer>(program.inputs.map(rootBuffer));
  for (const step of program.steps) {
    for (const operand of step.operands) {
      invariant(known.has(rootBuffer(operand)), `${step.name} reads what no step has written`);
    }
    run(step, step.operands.map(array), step.results.map(array));
    for (const result of step.results) known.add(rootBuffer(result));
  }
  const value = (buffer: Buffer): TypedArray => {
    invariant(known.has(rootBuffer(buffer)), 'an output was never written');
    return contents(buffer).slice();
  };
  const outputs = program.outputs.map(value);
  const updates = program.updates.map((update) => ({ input: update.input, data: value(update.value) }));
  for (const { input, data } of updates) contents(input).set(data);
  return { outputs, inputs: program.inputs.map((buffer) => contents(buffer).slice()) };
}

function run({ kernel }: Step, operands: readonly KernelArray[], results: readonly KernelArray[]): void {
  if (kernel.kind === 'tile') interpretTile(kernel, operands, results[0]);
  else if (kernel.kind === 'mix') interpretMix(kernel, operands[0], results[0]);
  else if (kernel.kind === 'outer') interpretOuter(kernel, operands, results[0]);
  else interpretKernel(kernel, operands, results);
}
