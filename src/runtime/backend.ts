import type { Plan } from '../compiler/compile.js';
import type { MachineDescription } from '../compiler/machine.js';
import { emitProgram } from '../targets/cpu/program.js';
import { WasmAssembler } from '../targets/cpu/wasm/emitter.js';
import { enableRelaxedSimd, wasmFeatures } from '../targets/cpu/wasm/features.js';
import { wasmTile } from '../targets/cpu/wasm/tiles.js';
import { GaborError } from '../tensor/errors.js';
import type { ProgramSource } from './program.js';

/** A program that can be loaded, and the memory that each of its threads needs for itself, in bytes. */
export interface EmittedCode {
  readonly source: ProgramSource;
  readonly scratch: number;
}

/** One way from a plan to code that this machine runs. */
export interface Backend {
  readonly name: string;
  /** What the compiler's passes need to know of it. */
  readonly machine: MachineDescription;
  /** @param only the one step to emit, for profiling. */
  emit(plan: Plan, only?: number): EmittedCode;
}

export interface WasmBackendOptions {
  /** Fused multiply-add by relaxed SIMD where the engine has it; default true. */
  readonly relaxedSimd?: boolean;
  /** Whether the memory is shared; default true. */
  readonly shared?: boolean;
  /** The register tile; default: the engine's. */
  readonly tile?: MachineDescription['tile'];
}

/** WebAssembly SIMD. */
export function wasmBackend(options: WasmBackendOptions = {}): Backend {
  enableRelaxedSimd();
  const features = wasmFeatures();
  if (!features.simd) {
    throw new GaborError('the cpu target needs WebAssembly SIMD, which this engine lacks; use the reference device');
  }
  const relaxed = (options.relaxedSimd ?? true) && features.fused;
  const { shared = true, tile = wasmTile({ ...features, fused: relaxed }) } = options;
  const assembler = (): WasmAssembler => new WasmAssembler({ relaxed, shared });
  return {
    name: 'wasm',
    machine: { lanes: assembler().lanes, tile },
    emit(plan, only) {
      const code = assembler();
      const { run, scratch } = emitProgram(plan, code, only);
      return { source: code.finish(run), scratch };
    },
  };
}
