import type { Plan } from '../compiler/compile.js';
import { type MachineDescription, USUAL_CACHES } from '../compiler/machine.js';
import { emitProgram } from '../targets/cpu/program.js';
import { WasmAssembler } from '../targets/cpu/wasm/emitter.js';
import { enableRelaxedSimd, wasmFeatures } from '../targets/cpu/wasm/features.js';
import { otherWasmTiles, wasmDeepTile, wasmTile } from '../targets/cpu/wasm/tiles.js';
import { BARRIER_YIELD } from '../targets/cpu/x64/barrier.js';
import { X64Assembler, type X64Options } from '../targets/cpu/x64/emitter.js';
import { otherX64Tiles, x64Tile } from '../targets/cpu/x64/tiles.js';
import { GaborError, OptionError } from '../tensor/errors.js';
import { type CompiledProgram, compiledProgram } from './compiled-program.js';
import { environmentVariable } from './host.js';
import { nativeLibrary } from './native/library.js';
import { detectProcessor } from './native/processor.js';

/** One way from a plan to code that this machine runs. */
export interface Backend {
  /** What programs are compiled to. */
  readonly name: Instructions;
  /** What the compiler's passes need to know of it. */
  readonly machine: MachineDescription;
  /** What the code of a plan depends on beside the plan. */
  readonly codeOptions: string;
  /** Roughly how many multiply-adds one thread does in a millisecond. */
  readonly speed: number;
  /** @param only the one step to emit, for profiling. */
  emit(plan: Plan, only?: number): CompiledProgram;
  /** Sets up the 64 bytes of a program's barrier, before its first run and after one that failed. */
  clearBarrier(words: Int32Array): void;
}

export interface WasmBackendOptions {
  /** Fused multiply-add by relaxed SIMD where the engine has it; default true. */
  readonly relaxedSimd?: boolean;
  /** Whether the memory is shared; default true. */
  readonly shared?: boolean;
  /** The register tile; default: the engine's. */
  readonly tile?: MachineDescription['tile'];
  /** Default: sizes that most processors have. */
  readonly caches?: MachineDescription['caches'];
  /** See {@link MachineDescription.winograd}. */
  readonly winograd?: MachineDescription['winograd'];
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
    codeOptions: `${relaxed ? 'relaxed' : 'not relaxed'} ${shared ? 'shared' : 'not shared'}`,
    speed: 2e7,
    machine: {
      lanes: assembler().lanes,
      tile,
      deepTile: options.tile ?? wasmDeepTile({ ...features, fused: relaxed }),
      tiles: otherWasmTiles(),
      caches: options.caches ?? USUAL_CACHES,
      winograd: options.winograd ?? true,
    },
    emit(plan, only) {
      const code = assembler();
      const { run, scratch } = emitProgram(plan, code, only);
      return compiledProgram(plan, { code: code.finish(run), scratch }, only);
    },
    clearBarrier: (words) => words.fill(0),
  };
}

export interface X64BackendOptions {
  readonly features: X64Options['features'];
  /** The register tile; default: the best one. */
  readonly tile?: MachineDescription['tile'];
  /** See {@link MachineDescription.winograd}. */
  readonly winograd?: MachineDescription['winograd'];
}

/**
 * Machine code of x64 processors.
 * @throws GaborError where it cannot run; {@link nativeProblem} says why.
 */
export function x64Backend({ features, tile, winograd = true }: X64BackendOptions): Backend {
  const library = nativeLibrary();
  const problem = nativeProblem(features);
  if (typeof library === 'string' || problem !== undefined) throw new GaborError(`no machine code: ${problem}`);
  const { abi, yieldFunction } = library;
  const { caches } = detectProcessor(library);
  const assembler = (): X64Assembler => new X64Assembler({ features, abi });
  return {
    name: features,
    codeOptions: abi,
    speed: features === 'avx512' ? 8e7 : 4e7,
    machine: {
      lanes: assembler().lanes,
      widths: features === 'avx512' ? [4, 8, 16] : [4, 8],
      tile: tile ?? x64Tile(features),
      tiles: otherX64Tiles(features),
      caches: { l1: caches.l1 || USUAL_CACHES.l1, l2: caches.l2 || USUAL_CACHES.l2 },
      winograd,
    },
    emit(plan, only) {
      const code = assembler();
      const { run, scratch } = emitProgram(plan, code, only);
      const { code: bytes, entry } = code.finish(run);
      return compiledProgram(plan, { code: { code: bytes, entry }, scratch }, only);
    },
    clearBarrier(words) {
      words.fill(0);
      words[BARRIER_YIELD / 4] = Number(BigInt.asIntN(32, yieldFunction));
      words[BARRIER_YIELD / 4 + 1] = Number(BigInt.asIntN(32, yieldFunction >> 32n));
    },
  };
}

/** The instructions that programs are compiled to: those of the processor itself, or WebAssembly. */
export type Instructions = 'avx512' | 'avx2' | 'wasm';

const INSTRUCTIONS: readonly Instructions[] = ['avx512', 'avx2', 'wasm'];

/** What the environment variable GABOR_NATIVE asks for: 0 is WebAssembly, 1 or nothing the best there is. */
function wantedInstructions(): Instructions | undefined {
  const text = environmentVariable('GABOR_NATIVE')?.trim();
  if (!text || text === '1') return undefined;
  if (text === '0') return 'wasm';
  const found = INSTRUCTIONS.find((name) => name === text);
  if (found === undefined) {
    throw new OptionError(
      `environment variable GABOR_NATIVE: expected 0 (WebAssembly), 1 (the best), avx512, avx2 or wasm, got "${text}"`,
    );
  }
  return found;
}

/** What programs are compiled to by default. */
export interface DefaultInstructions {
  readonly instructions: Instructions;
  /** For WebAssembly: why there is no machine code. */
  readonly reason?: string;
}

/** @throws OptionError where GABOR_NATIVE asks for instructions that cannot run here. */
export function defaultInstructions(): DefaultInstructions {
  const { name } = chooseBackend({});
  if (name !== 'wasm') return { instructions: name };
  const reason =
    wantedInstructions() === 'wasm' ? 'the environment variable GABOR_NATIVE says so' : nativeProblem('avx2');
  return { instructions: name, reason };
}

/**
 * The backend for `instructions`; by default what GABOR_NATIVE asks for, else the fastest that works here.
 * @throws OptionError where these instructions were asked for and cannot run.
 */
export function chooseBackend(options: WasmBackendOptions & { readonly instructions?: Instructions }): Backend {
  const { instructions = wantedInstructions(), shared = true, winograd } = options;
  if (instructions !== undefined && !INSTRUCTIONS.includes(instructions)) {
    throw new OptionError(`cpu device: instructions must be one of ${INSTRUCTIONS.join(', ')}, got "${instructions}"`);
  }
  if (winograd !== undefined && ![true, false, 2, 3, 4].includes(winograd)) {
    throw new OptionError(`cpu device: winograd must be true, false, 2, 3 or 4, got ${winograd}`);
  }
  for (const features of ['avx512', 'avx2'] as const) {
    if (instructions !== undefined && instructions !== features) continue;
    const problem = shared ? nativeProblem(features) : 'it needs shared memory';
    if (problem === undefined) return x64Backend({ features, winograd });
    if (instructions === features) throw new OptionError(`cpu device: cannot use ${features}: ${problem}`);
  }
  return wasmBackend(options);
}

/** Why machine code with these instructions cannot run here; undefined if it can. */
export function nativeProblem(features: X64Options['features']): string | undefined {
  const library = nativeLibrary();
  if (typeof library === 'string') return library;
  return detectProcessor(library)[features] ? undefined : `this processor has no ${FEATURE_NAMES[features]}`;
}

const FEATURE_NAMES: Readonly<Record<X64Options['features'], string>> = {
  avx2: 'AVX2 with fused multiply-add',
  avx512: 'AVX-512 (F, BW, DQ, VL)',
};
