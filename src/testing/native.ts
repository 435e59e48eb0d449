import type { Plan } from '../compiler/compile.js';
import { preparationsOf } from '../compiler/steps.js';
import type { Graph } from '../graph/graph.js';
import { CodePages } from '../runtime/native/code.js';
import { type NativeLibrary, nativeLibrary } from '../runtime/native/library.js';
import { IDENTITY, INVOKE, nativeStubs } from '../runtime/native/stubs.js';
import { emitProgram, TABLE_POINTERS, tableLayout } from '../targets/cpu/program.js';
import { X64Assembler, type X64Code, type X64Options } from '../targets/cpu/x64/emitter.js';
import { DTYPES, type TypedArray } from '../tensor/dtype.js';
import { sizeOf } from '../tensor/shape.js';

type Features = X64Options['features'];

function library(): NativeLibrary {
  const found = nativeLibrary();
  if (typeof found === 'string') throw new Error(found);
  return found;
}

/** The calling convention of this machine. */
export function nativeAbi(): X64Options['abi'] {
  return library().abi;
}

/** The address of an array's contents. */
export function addressOf(bytes: Uint8Array): bigint {
  const { identity } = nativeStubs(library());
  return BigInt(library().functionAt(identity, IDENTITY)(bytes) as number | bigint);
}

/** Loads machine code for tests; `run` calls it with the memory at address `base`. */
export function loadNative(
  { code, entry }: X64Code,
  base: bigint,
): { run(a: number, b: number, c?: number): number; free(): void } {
  const pages = new CodePages(library(), code);
  const call = library().functionAt(nativeStubs(library()).invoke, INVOKE);
  const start = pages.address + BigInt(entry);
  return {
    run: (a, b, c = 0) => call(start, base, a, b, c >>> 0) as number,
    free: () => pages.free(),
  };
}

/** Where a tensor lies in its pages: whatever is read or written beyond that edge ends the process. */
export type Edge = 'start' | 'end';

const PAGE = 4096;

/**
 * Runs a compiled plan by machine code on one thread. Arena, scratch memory and tensors each have pages of their own between pages that
 * nobody may touch; tensors begin or end right at one.
 */
export function runGuarded(
  plan: Plan,
  graph: Graph,
  inputs: readonly TypedArray[],
  features: Features,
  edge: Edge,
): { outputs: TypedArray[]; inputs: TypedArray[] } {
  const assembler = new X64Assembler({ features, abi: nativeAbi(), verify: true });
  const { run, scratch } = emitProgram(plan, assembler);
  const code = assembler.finish(run);
  const layout = tableLayout(graph.inputs.length, graph.outputs.length, preparationsOf(plan.program.steps).length);
  const sizes = [layout.bytes, plan.memory.arenaBytes, scratch];
  const tensors = [...graph.inputs, ...graph.outputs].map(({ type }) => type);
  for (const { shape, dtype } of tensors) sizes.push(sizeOf(shape) * DTYPES[dtype].bytes);
  const pages = sizes.map((size) => Math.ceil(size / PAGE) * PAGE);
  const total = PAGE + pages.reduce((sum, size) => sum + size + PAGE, 0);
  const native = library();
  const base = native.allocate(total);
  native.view(base, total).fill(0xff); // NaN
  native.protect(base, PAGE);
  let at = PAGE;
  const addresses = sizes.map((size, i) => {
    const start = at;
    at += pages[i] + PAGE;
    native.protect(base + BigInt(start + pages[i]), PAGE);
    if (i === 0 || edge === 'start') return start;
    // Arena and scratch memory stay aligned.
    const gap = pages[i] - size;
    return start + (i < 3 ? Math.floor(gap / 64) * 64 : gap);
  });
  const view = (i: number): TypedArray => {
    const { dtype, shape } = tensors[i];
    const bytes = native.view(base + BigInt(addresses[3 + i]), Math.max(1, sizes[3 + i]));
    return new DTYPES[dtype].array(bytes.buffer, bytes.byteOffset, sizeOf(shape)) as TypedArray;
  };
  try {
    inputs.forEach((data, i) => {
      view(i).set(data);
    });
    const table = native.view(base + BigInt(addresses[0]), layout.bytes);
    table.fill(0, 0, TABLE_POINTERS);
    new Int32Array(table.buffer, table.byteOffset + TABLE_POINTERS).set([
      ...addresses.slice(1),
      ...new Array<number>(layout.flags).fill(1),
    ]);
    const program = loadNative(code, base);
    const result = program.run(0, 1, addresses[0]);
    program.free();
    if (result !== 0) throw new Error(`run returned ${result}`);
    return {
      outputs: graph.outputs.map((_, i) => view(graph.inputs.length + i).slice()),
      inputs: graph.inputs.map((_, i) => view(i).slice()),
    };
  } finally {
    native.free(base, total);
  }
}
