import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../testing/command-line.js';
import { nativeProblem } from '../backend.js';
import { codeBytesInUse } from './code.js';
import { nativeLibrary } from './library.js';
import { detectProcessor } from './processor.js';

const BUILD = fileURLToPath(new URL('../../', import.meta.url));

interface Outcome {
  readonly instructions: string;
  readonly reason?: string;
  readonly result: readonly number[];
}

/** What a process of its own computes on its cpu device after `prelude`, with the engine in the folder `build`. */
async function inProcess(prelude: string, build = BUILD): Promise<Outcome> {
  const script = `
    import { createRequire } from 'node:module';
    ${prelude}
    const load = (path) => import(${JSON.stringify(`${build.replace(/\/?$/, '/')}`)} + path);
    const { defaultInstructions } = await load('runtime/backend.js');
    const { cpuDevice } = await load('runtime/cpu-device.js');
    const { setDevice } = await load('graph/device.js');
    const { tensor } = await load('ops/create.js');
    const { matmul } = await load('ops/convolution.js');
    const device = cpuDevice({ threads: 2 });
    setDevice(device);
    const x = tensor([[1, 2], [3, 4]]);
    const result = [...matmul(x, x).data()];
    const { instructions, reason } = defaultInstructions();
    console.log(JSON.stringify({ instructions: device.instructions, reason, result }));
    if (instructions !== device.instructions) throw new Error(instructions);
    await device.close();`;
  const { GABOR_NATIVE: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 60_000,
    env,
  });
  return JSON.parse(stdout) as Outcome;
}

/** WebAssembly runs, and the reason is told. */
function assertFallsBack({ instructions, reason, result }: Outcome, expected: RegExp): void {
  assert.equal(instructions, 'wasm');
  assert.match(reason ?? '', expected);
  assert.deepEqual(result, [7, 10, 15, 22]);
}

/**
 * The kernel refuses to make pages executable that are not writable at the same time (which V8's are): a seccomp filter on
 * `mprotect`, in the words of linux/filter.h and linux/seccomp.h. Threads that start later have it, too.
 */
const HARDENED = `
  const koffi = createRequire(${JSON.stringify(import.meta.url)})('koffi');
  const prctl = koffi.load(null).func('int prctl(int option, uint64_t a, void *b, uint64_t c, uint64_t d)');
  const filter = [
    [0x20, 0, 0, 0],                  // load the number of the system call
    [0x15, 0, 3, 10],                 // mprotect, else allow
    [0x20, 0, 0, 32],                 // load its third argument
    [0x15, 0, 1, 5],                  // PROT_READ | PROT_EXEC, else allow
    [0x06, 0, 0, 0x00050000 | 13],    // return EACCES
    [0x06, 0, 0, 0x7fff0000],         // allow
  ];
  const code = Buffer.alloc(8 * filter.length);
  filter.forEach(([code_, yes, no, k], i) => {
    code.writeUInt16LE(code_, 8 * i);
    code.set([yes, no], 8 * i + 2);
    code.writeUInt32LE(k, 8 * i + 4);
  });
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.length, 0);
  program.writeBigUInt64LE(koffi.address(code), 8);
  const NO_NEW_PRIVILEGES = 38, SECCOMP = 22, FILTER = 2;
  if (prctl(NO_NEW_PRIVILEGES, 1, null, 0, 0) !== 0 || prctl(SECCOMP, FILTER, program, 0, 0) !== 0)
    throw new Error('no seccomp here');`;

test('a system that refuses executable pages: WebAssembly, and why', async (t) => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return t.skip('needs seccomp on x64');
  const problem = nativeProblem('avx2');
  if (problem !== undefined) return t.skip(problem);
  let outcome: Outcome;
  try {
    outcome = await inProcess(HARDENED);
  } catch (error) {
    if (String(error).includes('no seccomp here')) return t.skip('no seccomp here');
    throw error;
  }
  assertFallsBack(outcome, /refuses to make executable 4096 bytes for machine code, as hardened systems do/);
});

test('without koffi: WebAssembly, and why', async () => {
  // A copy of the engine in a place from where no package is found.
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  for (const part of ['tensor', 'kernel', 'graph', 'ops', 'autodiff', 'compiler', 'targets', 'runtime']) {
    mkdirSync(join(folder, part));
    cpSync(join(BUILD, part), join(folder, part), { recursive: true, filter: (path) => !path.endsWith('.test.js') });
  }
  const reason =
    process.arch === 'x64' ? /optional package koffi, .* cannot be loaded: .*koffi/ : /made for x64 processors only/;
  assertFallsBack(await inProcess('', folder), reason);
});

test('another processor: WebAssembly, and why', async () => {
  const arm = `Object.defineProperty(process, 'arch', { value: 'arm64' });`;
  assertFallsBack(await inProcess(arm), /machine code is made for x64 processors only, this one is arm64/);
});

test('the probe leaves nothing behind, the processor has names and sizes', (t) => {
  const library = nativeLibrary();
  if (typeof library === 'string') return t.skip(library);
  const { vendor, caches, avx2, avx512 } = detectProcessor(library);
  const stubs = 4096;
  assert.equal(codeBytesInUse(), stubs);
  assert.match(vendor, /^[\x20-\x7e]{12}$/);
  assert.ok(avx2 || !avx512);
  const { l1, l2, l3 } = caches;
  assert.ok(l1 === 0 || (l1 >= 8 * 1024 && l1 <= l2), `L1 ${l1}, L2 ${l2}`);
  assert.ok(l3 === 0 || l3 >= l2 / 2, `L2 ${l2}, L3 ${l3}`);
});
