import { BARRIER_ABORT } from '../../targets/cpu/x64/barrier.js';
import { GaborError } from '../../tensor/errors.js';
import type { LoadedMachineCode, ProgramExports } from '../program-code.js';
import type { WasmMemory } from '../webassembly.js';
import { CodePages } from './code.js';
import { type Address, type NativeLibrary, nativeLibrary } from './library.js';
import { IDENTITY, INVOKE, nativeStubs } from './stubs.js';

/** Machine code of one program; `entry` is the offset of `run`. */
export interface MachineCode {
  readonly code: Uint8Array;
  readonly entry: number;
}

/** @throws GaborError where machine code cannot run. */
export function loadMachineCode(
  { code, entry }: MachineCode,
  memory: WasmMemory,
): { machine: LoadedMachineCode; free(): void } {
  const library = nativeLibrary();
  if (typeof library === 'string') throw new GaborError(`machine code cannot run here: ${library}`);
  if (memory.buffer instanceof ArrayBuffer) throw new GaborError('machine code needs a shared memory');
  const { invoke } = nativeStubs(library);
  const base = addressOf(memory, library);
  const pages = new CodePages(library, code);
  return {
    machine: { invoke, entry: pages.address + BigInt(entry), memory: base },
    free: () => pages.free(),
  };
}

export function addressOf(memory: WasmMemory, library: NativeLibrary): Address {
  const { identity } = nativeStubs(library);
  return BigInt(stub(library, identity, IDENTITY)(new Uint8Array(memory.buffer)) as number | bigint);
}

type Call = ReturnType<NativeLibrary['functionAt']>;

/** Ways into the stubs, made once for each thread. */
const calls = new Map<bigint, Call>();

function stub(library: NativeLibrary, address: bigint, signature: string): Call {
  let call = calls.get(address);
  if (call === undefined) {
    call = library.functionAt(address, signature);
    calls.set(address, call);
  }
  return call;
}

/** What `run` returns to say that another thread had asked everyone to stop. */
const ABORTED = 1;

export function machineCodeExports(
  { invoke, entry, memory: base }: LoadedMachineCode,
  memory: WasmMemory,
): ProgramExports {
  const library = nativeLibrary();
  if (typeof library === 'string') throw new GaborError(`machine code cannot run on this thread: ${library}`);
  const call = stub(library, invoke, INVOKE);
  return {
    run(thread, threads, table) {
      if (call(entry, base, thread, threads, table >>> 0) === ABORTED) throw new GaborError('the run was aborted');
    },
    abort(table) {
      Atomics.store(new Int32Array(memory.buffer), (table + BARRIER_ABORT) >>> 2, 1);
    },
  };
}
