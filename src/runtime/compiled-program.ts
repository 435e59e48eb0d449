import type { Plan } from '../compiler/compile.js';
import { writtenInputs } from '../compiler/prepare.js';
import { preparationsOf } from '../compiler/steps.js';
import { DTYPES, type DType } from '../tensor/dtype.js';
import type { TensorType } from '../tensor/shape.js';
import type { MachineCode } from './native/program.js';
import type { WasmBytes } from './webassembly.js';

/**
 * All that running a compiled graph takes: what stands between the compiler and the runtime. Plain data without addresses, so that it can be kept
 * in a file and run by another process.
 */
export interface CompiledProgram {
  /** How many inputs it takes. */
  readonly inputs: number;
  readonly outputs: readonly TensorType[];
  /** Positions of the inputs that it overwrites. */
  readonly updated: readonly number[];
  /** For each group of prepared steps the positions of the inputs that it depends on. */
  readonly preparations: readonly (readonly number[])[];
  /** See {@link Plan.work}. */
  readonly work: number;
  readonly arenaBytes: number;
  /** Bytes that each thread needs for itself. */
  readonly scratch: number;
  readonly code: MachineCode | WasmBytes;
}

/** What a backend emitted for a plan. */
export interface EmittedCode {
  readonly scratch: number;
  readonly code: MachineCode | WasmBytes;
}

/** @param only as it was given to the emitter: a single step prepares nothing and runs in an arena that it is lent. */
export function compiledProgram({ program, memory, work }: Plan, emitted: EmittedCode, only?: number): CompiledProgram {
  const whole = only === undefined;
  return {
    inputs: program.inputs.length,
    outputs: program.outputs.map(({ type }) => type),
    updated: [...writtenInputs(program)].map(({ input }) => input as number),
    preparations: whole ? preparationsOf(program.steps).map(({ inputs }) => inputs) : [],
    work,
    arenaBytes: whole ? memory.arenaBytes : 0,
    ...emitted,
  };
}

type Facts = Omit<CompiledProgram, 'code'> & { readonly entry?: number };

/** The bytes of a program, in the parts that {@link parseProgram} takes. */
export function serializeProgram({ code, ...rest }: CompiledProgram): { facts: Uint8Array; code: Uint8Array } {
  const machine = 'entry' in code;
  const facts: Facts = machine ? { ...rest, entry: code.entry } : rest;
  const bytes = machine ? code.code : new Uint8Array(code);
  return { facts: new TextEncoder().encode(JSON.stringify(facts)), code: bytes };
}

/** Undefined where the bytes are not of a program. */
export function parseProgram(facts: Uint8Array, code: Uint8Array): CompiledProgram | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(facts));
  } catch {
    return undefined;
  }
  if (!isFacts(parsed)) return undefined;
  const { entry, ...rest } = parsed;
  if (entry === undefined) return { ...rest, code };
  return entry < code.length ? { ...rest, code: { code, entry } } : undefined;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isFacts(value: unknown): value is Facts {
  if (typeof value !== 'object' || value === null) return false;
  const { inputs, outputs, updated, preparations, work, arenaBytes, scratch, entry } = value as Partial<Facts>;
  const isInputs = (list: unknown): boolean =>
    Array.isArray(list) && list.every((i) => isCount(i) && i < (inputs as number));
  return (
    [inputs, arenaBytes, scratch].every(isCount) &&
    typeof work === 'number' &&
    Array.isArray(outputs) &&
    outputs.every(isType) &&
    isInputs(updated) &&
    Array.isArray(preparations) &&
    preparations.every(isInputs) &&
    (entry === undefined || isCount(entry))
  );
}

function isType(value: unknown): value is TensorType {
  if (typeof value !== 'object' || value === null) return false;
  const { dtype, shape } = value as Partial<TensorType>;
  return Object.hasOwn(DTYPES, dtype as DType) && Array.isArray(shape) && shape.every(isCount);
}
