import { encodeModule, ValueType } from './encoder.js';
import { Atomic, Op, PREFIX_ATOMIC, PREFIX_SIMD, Simd } from './opcodes.js';
import { webAssembly } from './webassembly.js';

export interface WasmFeatures {
  /** 128-bit SIMD; without it there is no WebAssembly target. */
  readonly simd: boolean;
  /** Relaxed SIMD, which has the multiply-add. */
  readonly relaxedSimd: boolean;
  /**
   * Whether the relaxed multiply-add rounds once here. The specification leaves it to the engine and the processor; where
   * it rounds twice it has no use.
   */
  readonly fused: boolean;
  /** Shared memory and atomic instructions. In a browser the page must also be cross-origin isolated. */
  readonly threads: boolean;
}

/** A module of one function from f32s to an f32, or to nothing. */
function probe(parameters: number, result: boolean, body: number[], shared = false): Uint8Array {
  return encodeModule({
    functions: [
      {
        name: 'probe',
        parameters: new Array<ValueType>(parameters).fill(ValueType.f32),
        results: result ? [ValueType.f32] : [],
        locals: [],
        body: Uint8Array.from(body),
      },
    ],
    memory: shared ? { shared } : undefined,
    exports: [{ name: 'probe', index: 0 }],
  });
}

const splat = (parameter: number): number[] => [Op.localGet, parameter, PREFIX_SIMD, Simd.f32x4Splat];
const firstLane: number[] = [PREFIX_SIMD, Simd.f32x4ExtractLane, 0];
const relaxedMadd: number[] = [PREFIX_SIMD, 0x80 | (Simd.f32x4RelaxedMadd & 0x7f), Simd.f32x4RelaxedMadd >> 7];

const SIMD: Uint8Array = probe(1, true, [...splat(0), ...firstLane]);
const MULTIPLY_ADD: Uint8Array = probe(3, true, [...splat(0), ...splat(1), ...splat(2), ...relaxedMadd, ...firstLane]);
const THREADS: Uint8Array = probe(0, false, [Op.i32Const, 0, PREFIX_ATOMIC, Atomic.i32Load, 2, 0, Op.drop], true);

let features: WasmFeatures | undefined;

/** What this engine can do. Call {@link enableRelaxedSimd} once before, or Node 20 reports no relaxed SIMD. */
export function wasmFeatures(): WasmFeatures {
  features ??= detect();
  return features;
}

function detect(): WasmFeatures {
  if (webAssembly === undefined) return { simd: false, relaxedSimd: false, fused: false, threads: false };
  const relaxedSimd = webAssembly.validate(MULTIPLY_ADD);
  return {
    simd: webAssembly.validate(SIMD),
    relaxedSimd,
    fused: relaxedSimd && multiplyAddIsFused(),
    threads: typeof SharedArrayBuffer !== 'undefined' && webAssembly.validate(THREADS),
  };
}

function multiplyAddIsFused(): boolean {
  const { exports } = new webAssembly!.Instance(new webAssembly!.Module(MULTIPLY_ADD));
  // (1 + 2^-12)² = 1 + 2^-11 + 2^-24, whose last term is lost if the product is rounded to 24 bits.
  const a = 1 + 2 ** -12;
  return exports.probe(a, a, -(1 + 2 ** -11)) === 2 ** -24;
}

interface NodeProcess {
  getBuiltinModule?(name: string): unknown;
}

/** Sets a flag of V8 for the whole process with its worker threads. False where there is no Node, or one before 20.16. */
function setV8Flag(flag: string): boolean {
  // Shows bundlers for browsers no import to resolve, and unlike a dynamic import does its work at once.
  const node = (globalThis as { process?: NodeProcess }).process;
  const v8 = node?.getBuiltinModule?.('node:v8') as { setFlagsFromString(flag: string): void } | undefined;
  v8?.setFlagsFromString(flag);
  features = undefined;
  return v8 !== undefined;
}

/**
 * Node 20 and 21 have relaxed SIMD behind a flag of V8 that can be set at run time. Elsewhere this does nothing. Returns whether
 * relaxed SIMD is there afterwards.
 */
export function enableRelaxedSimd(): boolean {
  if (webAssembly === undefined) return false;
  if (!webAssembly.validate(MULTIPLY_ADD)) setV8Flag('--experimental-wasm-relaxed-simd');
  return wasmFeatures().relaxedSimd;
}
