import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compileGraph } from '../../compiler/compile.js';
import { USUAL_CACHES } from '../../compiler/machine.js';
import { printSteps } from '../../compiler/steps.js';
import type { Geometry, Role } from '../../kernel/contraction.js';
import { sum } from '../../ops/broadcast.js';
import { contract } from '../../ops/convolution.js';
import { add, mul, relu } from '../../ops/elementwise.js';
import type { Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { traceInputs } from '../../testing/random-graphs.js';
import type { FunctionId, Register, VectorMachine } from './machine.js';
import { emitProgram } from './program.js';
import { WasmAssembler } from './wasm/emitter.js';

// The code of a few small kernels, beside this test in listings/, so that a change of code generation shows what it changes.
// `GABOR_UPDATE=1 npm test` writes the files anew.

/** Keeps what it defined. */
class RecordingAssembler extends WasmAssembler {
  readonly defined: FunctionId[] = [];

  override define(
    name: string,
    parameters: number,
    body: (m: VectorMachine, parameters: readonly Register[]) => void,
  ): FunctionId {
    const id = super.define(name, parameters, body);
    this.defined.push(id);
    return id;
  }
}

/** The kernels of kind `kind` of a program, for a machine with a tile of 2 × 1. */
function listing(kind: string, shapes: readonly Shape[], body: (inputs: Tensor[]) => Tensor[]): string {
  const { graph } = traceInputs(shapes, (size) => new Float32Array(size), body);
  const assembler = new RecordingAssembler({ relaxed: true, shared: true });
  const plan = compileGraph(graph, { lanes: assembler.lanes, tile: { rows: 2, vectors: 1 }, caches: USUAL_CACHES });
  emitProgram(plan, assembler);
  const at = plan.program.steps.findIndex((step) => step.kernel.kind === kind && step.name !== 'pack');
  assert.ok(at >= 0, `no ${kind} in\n${printSteps(plan.program)}`);
  const step = { ...plan.program, steps: [plan.program.steps[at]], outputs: [] };
  return `${printSteps(step).split('\n').slice(0, 2).join('\n')}\n\n${assembler.listing(assembler.defined[at])}\n`;
}

function contraction(role: Role, shapes: readonly Shape[], geometry: Geometry): string {
  const kind = role === 'filter' ? 'outer' : 'tile';
  return listing(kind, shapes, ([a, b]) => [relu(contract(role, a, b, geometry))]);
}

const axes = [{ input: 6, kernel: 3, output: 4, stride: 1, dilation: 1, padLow: 0 }];
const geometry: Geometry = { batch: 1, groups: 1, channelsIn: 4, channelsOut: 4, axes };

const LISTINGS: Readonly<Record<string, () => string>> = {
  map: () => listing('nest', [[19], [1]], ([x, b]) => [relu(add(mul(x, 2), b))]),
  reduction: () => listing('nest', [[3, 24]], ([x]) => [sum(x, [1])]),
  tile: () =>
    contraction(
      'output',
      [
        [1, 4, 6],
        [4, 4, 3],
      ],
      geometry,
    ),
  outer: () =>
    contraction(
      'filter',
      [
        [1, 4, 6],
        [1, 4, 4],
      ],
      geometry,
    ),
};

function fileOf(name: string): string {
  const path = `src/targets/cpu/listings/${name}.txt`;
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    if (existsSync(new URL('package.json', folder))) return fileURLToPath(new URL(path, folder));
  }
  throw new Error(`${path} is not there`);
}

for (const [name, make] of Object.entries(LISTINGS)) {
  test(`code as in listings/${name}.txt`, () => {
    const text = make();
    const file = fileOf(name);
    if (process.env.GABOR_UPDATE) writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'), `${file} differs; GABOR_UPDATE=1 writes it anew`);
  });
}
