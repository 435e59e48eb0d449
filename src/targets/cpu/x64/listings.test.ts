import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compileGraph } from '../../../compiler/compile.js';
import { USUAL_CACHES } from '../../../compiler/machine.js';
import type { Geometry } from '../../../kernel/contraction.js';
import { contract } from '../../../ops/convolution.js';
import { traceInputs } from '../../../testing/random-graphs.js';
import { emitProgram } from '../program.js';
import { X64Assembler, type X64Options } from './emitter.js';
import { x64Tile } from './tiles.js';

// The inner loop of the register tile, beside this test in listings/: it must not spill, move or recompute anything.
// `GABOR_UPDATE=1 npm test` writes the files anew.

const axes = [16, 28].map((extent) => ({
  input: extent,
  kernel: 3,
  output: extent,
  stride: 1,
  dilation: 1,
  padLow: 1,
}));
const geometry: Geometry = { batch: 1, groups: 1, channelsIn: 32, channelsOut: 32, axes };

/** From the first label before a multiply-add to the jump back. */
function hotLoop(features: X64Options['features']): string {
  const shapes = [
    [1, 32, 16, 28],
    [32, 32, 3, 3],
  ];
  const { graph } = traceInputs(
    shapes,
    (size) => new Float32Array(size),
    ([x, w]) => [contract('output', x, w, geometry)],
  );
  const assembler = new X64Assembler({ features, abi: 'sysv', verify: true, listing: true });
  const machine = { lanes: assembler.lanes, tile: x64Tile(features), caches: USUAL_CACHES, winograd: false };
  const plan = compileGraph(graph, machine);
  const at = plan.program.steps.findIndex((step) => step.kernel.kind === 'tile');
  const { run } = emitProgram(plan, assembler, at);
  const lines = assembler.finish(run).listing().split('\n');
  const first = lines.findIndex((line) => line.includes('vfmadd231ps'));
  let begin = first;
  while (!lines[begin].endsWith(':')) begin--;
  const end = lines.findIndex((line, i) => i > first && /\bj\w+ /.test(line));
  // Labels are numbered through the whole program.
  return `${lines.slice(begin, end + 1).join('\n')}\n`.replace(/\.?L\d+/g, 'loop');
}

function fileOf(name: string): string {
  const path = `src/targets/cpu/x64/listings/${name}.txt`;
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    if (existsSync(new URL('package.json', folder))) return fileURLToPath(new URL(path, folder));
  }
  throw new Error(`${path} is not there`);
}

for (const features of ['avx512', 'avx2'] as const) {
  test(`x64: the inner loop of the tile as in listings/tile-${features}.txt`, () => {
    const text = hotLoop(features);
    const { rows, vectors } = x64Tile(features);
    assert.equal(text.match(/vfmadd231ps/g)?.length, rows * vectors);
    assert.ok(!text.includes('rsp'), 'nothing is spilled');
    const file = fileOf(`tile-${features}`);
    if (process.env.GABOR_UPDATE) writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'), `${file} differs; GABOR_UPDATE=1 writes it anew`);
  });
}
