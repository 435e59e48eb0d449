/** Everything that the runtime needs from Node and that a browser does in another way. */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, SHARE_ENV, Worker } from 'node:worker_threads';
import { makeFolders } from './cache-files.js';
import type { Control } from './control.js';
import type { ProgramCode } from './program-code.js';
import type { WasmMemory } from './webassembly.js';

/** What a worker thread is born with. */
export interface WorkerStart {
  readonly control: Control;
  readonly memory: WasmMemory;
  readonly thread: number;
  readonly threads: number;
  readonly port: MessagePort;
  /** Whether it is to run machine code, so that it loads what this needs before it says that it is up. */
  readonly native: boolean;
}

/** A program to instantiate, or, without code, one to forget. */
export interface ProgramMessage {
  readonly id: number;
  readonly code?: ProgramCode;
}

export interface ThreadHandle {
  post(message: ProgramMessage): void;
  /** The oldest error that the thread has posted, without waiting. */
  takeError(): unknown;
  /** Fulfils when the thread has ended; it may be anywhere, also in a barrier or an endless loop. */
  terminate(): Promise<unknown>;
}

/**
 * Starts a thread that does not keep the process alive. Its start needs no event loop, so it comes up while the caller blocks.
 * @param onExit called once when it has ended, with what happened and the uncaught error if there was one.
 */
export function spawnThread(
  start: Omit<WorkerStart, 'port'>,
  onExit: (what: string, cause: unknown) => void,
): ThreadHandle {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    name: `gabor-${start.thread}`,
    workerData: { ...start, port: port2 } satisfies WorkerStart,
    transferList: [port2],
    execArgv: [],
    env: SHARE_ENV,
  });
  let cause: unknown;
  worker.on('error', (error) => {
    cause = error;
  });
  worker.on('exit', (code) => {
    port1.close();
    onExit(`worker thread ${start.thread} ended unexpectedly (exit code ${code})`, cause);
  });
  worker.unref();
  return {
    post: (message) => port1.postMessage(message),
    takeError: () => receiveMessageOnPort(port1)?.message,
    terminate: () => worker.terminate(),
  };
}

/** Keeps the process alive while anything is held. */
export class KeepAlive {
  readonly #timer: NodeJS.Timeout = setInterval(() => {}, 2 ** 30).unref();
  #holds = 0;

  hold(): void {
    if (this.#holds++ === 0) this.#timer.ref();
  }

  release(): void {
    if (--this.#holds === 0) this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** Lets everything else in the event loop have its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Calls `action` when the process is about to end by itself, by `process.exit` or an uncaught error, while threads still run. */
export function onProcessExit(action: () => void): void {
  process.on('exit', action);
}

/** As Node names them: `x64`, `arm64`, … */
export function architecture(): string {
  return process.arch;
}

/** As Node names them: `linux`, `darwin`, `win32`, … */
export function operatingSystem(): string {
  return process.platform;
}

export function environmentVariable(name: string): string | undefined {
  return process.env[name];
}

/** Processors that this process may use: its affinity mask and, inside a container, its quota. */
export function hardwareThreads(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpuQuota())));
}

/** Node 20 does not look at the quota of the control group by itself. */
function cpuQuota(): number {
  const read = (path: string): string[] => {
    try {
      return readFileSync(`/sys/fs/cgroup/${path}`, 'utf8').trim().split(' ');
    } catch {
      return [];
    }
  };
  let [quota, period] = read('cpu.max');
  if (quota === undefined) {
    [quota] = read('cpu/cpu.cfs_quota_us');
    [period] = read('cpu/cpu.cfs_period_us');
  }
  const processors = Number(quota) / Number(period);
  return processors > 0 ? processors : Number.POSITIVE_INFINITY;
}

/** The processor's name as the operating system has it. */
export function processorName(): string {
  return cpus()[0]?.model.trim() ?? 'unknown';
}

/** The version of the JavaScript engine, which compiles WebAssembly. */
export function engineVersion(): string {
  return process.versions.v8;
}

/** Tells the user something that is no error. */
export function warn(message: string): void {
  process.emitWarning(message, 'GaborWarning');
}

export { cacheFolder } from './cache-files.js';

export function joinPath(...parts: readonly string[]): string {
  return join(...parts);
}

/** The text of a file; undefined if there is none. Throws what the system says otherwise. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Replaces a file as a whole, without waiting for the disk: others see the old text or the new one. Makes missing folders. */
export function replaceText(path: string, text: string): void {
  makeFolders(dirname(path));
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  try {
    writeFileSync(temporary, text, { flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Loaded when it is needed, which takes milliseconds. */
function createHash(): import('node:crypto').Hash {
  const crypto = createRequire(import.meta.url)('node:crypto') as typeof import('node:crypto');
  return crypto.createHash('sha256');
}

export function sha256(text: string): string {
  return createHash().update(text).digest('hex');
}

/** What a bundle writes here of the modules that it is made of (scripts/bundle.mjs). */
declare const BUNDLED_MODULES: string | undefined;

/** Whether this is the package as users install it. */
export function isPackaged(): boolean {
  return typeof BUNDLED_MODULES === 'string';
}

/** Folders of the modules that decide which code programs become. */
const COMPILER = ['tensor', 'kernel', 'graph', 'ops', 'compiler', 'targets', 'runtime'];

/** A hash of the compiled files that decide which code programs become; in the package, where they are not apart, of all its files. */
export function codeVersion(): string {
  if (typeof BUNDLED_MODULES === 'string') return BUNDLED_MODULES;
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const hash = createHash();
  for (const folder of COMPILER) {
    const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
    for (const file of files.sort()) {
      if (!file.endsWith('.js') || file.endsWith('.test.js')) continue;
      const name = `${folder}/${file.replaceAll('\\', '/')}`;
      const content = readFileSync(join(root, folder, file));
      hash.update(`${name} ${content.length}\n`).update(content);
    }
  }
  return hash.digest('hex');
}
