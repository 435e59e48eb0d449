import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';
import type { Device } from '../../graph/device.js';
import { formatBytes } from '../../inspect/format.js';
import { multiplyAdds } from '../../kernel/contraction.js';
import { contract } from '../../ops/convolution.js';
import { tensor } from '../../ops/create.js';
import { type DefaultInstructions, defaultInstructions } from '../../runtime/backend.js';
import { type CacheUsage, cacheFiles, cacheFolder, isCachingOff } from '../../runtime/cache-files.js';
import { CpuDevice } from '../../runtime/cpu-device.js';
import { nativeLibrary } from '../../runtime/native/library.js';
import { type Caches, detectProcessor } from '../../runtime/native/processor.js';
import { defaultThreads } from '../../runtime/threads.js';
import { enableRelaxedSimd, wasmFeatures } from '../../targets/cpu/wasm/features.js';
import { DEVICE_NAMES, type DeviceName, describeDevice, useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import type { Output } from '../output.js';
import { pad, printable } from '../terminal.js';
import { packageVersion } from '../version.js';

export interface TargetReport {
  readonly name: DeviceName;
  readonly works: boolean;
  /** What runs there, or why nothing does. */
  readonly detail: string;
}

export interface DoctorReport {
  readonly event: 'doctor';
  readonly gabor: string;
  readonly node: string;
  readonly v8: string;
  readonly system: string;
  readonly processor: string;
  readonly processors: number;
  readonly features: readonly string[];
  /** Bytes of the caches of one core, where the processor could be asked. */
  readonly caches?: Caches;
  /** What programs are compiled to, and for WebAssembly why not to machine code. */
  readonly code?: DefaultInstructions;
  readonly wasm: {
    readonly simd: boolean;
    readonly relaxedSimd: boolean;
    readonly fused: boolean;
    readonly threads: boolean;
  };
  readonly threads: number;
  readonly memory: { readonly total: number; readonly free: number };
  /** What is kept for other processes (docs/decisions/startup.md); undefined where GABOR_CACHE is 0. */
  readonly cache?: { readonly folder: string; readonly programs: CacheUsage; readonly scripts: CacheUsage };
  readonly targets: readonly TargetReport[];
}

/** Processor extensions that matter for speed, in the names that Linux gives them. */
const FEATURES = [
  'sse4_1',
  'avx',
  'avx2',
  'fma',
  'f16c',
  'avx512f',
  'avx512vl',
  'avx512_vnni',
  'avx512_bf16',
  'amx_tile',
  'asimd',
  'asimddp',
  'sve',
];

/** Prints what this machine can do. Status 0 where the cpu target works. */
export async function doctor(output: Output): Promise<number> {
  const report = await examine();
  output.event(report);
  if (!output.json) print(report, output);
  return report.targets.find((target) => target.name === 'cpu')?.works ? EXIT.ok : EXIT.failure;
}

async function examine(): Promise<DoctorReport> {
  enableRelaxedSimd();
  const { simd, relaxedSimd, fused, threads } = wasmFeatures();
  const library = nativeLibrary();
  const caches = typeof library === 'string' ? undefined : detectProcessor(library).caches;
  const targets: TargetReport[] = [];
  for (const name of DEVICE_NAMES) targets.push(await tryTarget(name));
  return {
    event: 'doctor',
    gabor: packageVersion(),
    node: process.version,
    v8: process.versions.v8,
    system: `${platform()} ${release()} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: availableParallelism(),
    features: processorFeatures(),
    ...(caches === undefined ? {} : { caches }),
    ...codeReport(),
    wasm: { simd, relaxedSimd, fused, threads },
    threads: defaultThreads(),
    memory: { total: totalmem(), free: freemem() },
    ...cacheReport(),
    targets,
  };
}

/** Nothing where GABOR_NATIVE is wrong: the cpu target then says so. */
function codeReport(): Pick<DoctorReport, 'code'> {
  try {
    return { code: defaultInstructions() };
  } catch {
    return {};
  }
}

function cacheReport(): Pick<DoctorReport, 'cache'> {
  if (isCachingOff()) return {};
  const folder = cacheFolder();
  return { cache: { folder, programs: cacheFiles('programs').usage(), scripts: cacheFiles('scripts').usage() } };
}

function processorFeatures(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    const flags = new Set(line.split(' '));
    return FEATURES.filter((feature) => flags.has(feature));
  } catch {
    return []; // not Linux
  }
}

async function tryTarget(name: DeviceName): Promise<TargetReport> {
  let device: Device | undefined;
  try {
    device = useDevice(name);
    const wrong = checkConvolution();
    if (wrong !== undefined) return { name, works: false, detail: wrong };
    const speed = name === 'reference' ? '' : `; ${measureConvolution()}`;
    return { name, works: true, detail: `${describeDevice(device)}${speed}` };
  } catch (error) {
    return { name, works: false, detail: error instanceof Error ? error.message : String(error) };
  } finally {
    if (device instanceof CpuDevice) await device.close();
  }
}

/** A small convolution whose result is known: sums of 1 … 16 under a 3×3 filter of ones. Returns what is wrong. */
function checkConvolution(): string | undefined {
  const axis = { input: 4, kernel: 3, output: 2, stride: 1, dilation: 1, padLow: 0 };
  const numbers = Float32Array.from({ length: 16 }, (_, i) => i + 1);
  using x = tensor(numbers, { shape: [1, 1, 4, 4] });
  using w = tensor(new Float32Array(9).fill(1), { shape: [1, 1, 3, 3] });
  using y = contract('output', x, w, { batch: 1, groups: 1, channelsIn: 1, channelsOut: 1, axes: [axis, axis] });
  const result = [...y.data()];
  const expected = [54, 63, 90, 99];
  const right = result.length === 4 && expected.every((value, i) => result[i] === value);
  return right ? undefined : `computed ${result.join(', ')} instead of ${expected.join(', ')}`;
}

/** How fast an ordinary convolution is: the best of a few runs, large enough for all threads. */
function measureConvolution(): string {
  const axis = { input: 56, kernel: 3, output: 56, stride: 1, dilation: 1, padLow: 1 };
  const geometry = { batch: 1, groups: 1, channelsIn: 64, channelsOut: 64, axes: [axis, axis] };
  using x = tensor(new Float32Array(64 * 56 * 56).fill(1), { shape: [1, 64, 56, 56] });
  using w = tensor(new Float32Array(64 * 64 * 9).fill(1), { shape: [64, 64, 3, 3] });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    const began = performance.now();
    contract('output', x, w, geometry).dispose();
    best = Math.min(best, performance.now() - began);
  }
  const flops = (2 * multiplyAdds(geometry)) / (best / 1000);
  return `3×3 convolution 64→64 at 56×56 in ${best.toFixed(1)} ms, ${(flops / 1e9).toFixed(0)} GFLOP/s`;
}

function print(report: DoctorReport, output: Output): void {
  const { colours } = output.terminal;
  const yes = (value: boolean): string => (value ? colours.green('yes') : colours.yellow('no'));
  const { simd, relaxedSimd, fused, threads } = report.wasm;
  const rows: [string, string][] = [
    ['Gabor', report.gabor],
    ['Node', `${report.node} (V8 ${report.v8})`],
    ['System', report.system],
    ['Processor', `${printable(report.processor)}, ${report.processors} usable`],
    ['Features', report.features.join(' ') || 'not known on this system'],
    ...(report.caches === undefined ? [] : [['Caches', processorCaches(report.caches)] satisfies [string, string]]),
    ['Memory', `${formatBytes(report.memory.total)}, ${formatBytes(report.memory.free)} free`],
    ['Threads', `${report.threads}${process.env.GABOR_THREADS ? ' (from GABOR_THREADS)' : ''}`],
    ...(report.code === undefined ? [] : [['Code', codeText(report.code)] satisfies [string, string]]),
    ['Cache', cacheText(report.cache)],
    [
      'WebAssembly',
      `SIMD ${yes(simd)} · relaxed SIMD ${yes(relaxedSimd)} · multiply-add fused ${yes(fused)} · threads ${yes(threads)}`,
    ],
  ];
  for (const [name, value] of rows) output.print(`${colours.dim(pad(name, 12))} ${value}`);
  output.print();
  for (const { name, works, detail } of report.targets) {
    output.print(`${works ? colours.green('✓') : colours.red('✗')} ${colours.bold(pad(name, 10))} ${detail}`);
  }
}

const CODE_NAMES: Readonly<Record<DefaultInstructions['instructions'], string>> = {
  avx512: 'machine code for AVX-512',
  avx2: 'machine code for AVX2',
  wasm: 'WebAssembly',
};

function codeText({ instructions, reason }: DefaultInstructions): string {
  return `${CODE_NAMES[instructions]}${reason === undefined ? '' : `; no machine code: ${reason}`}`;
}

function cacheText(cache: DoctorReport['cache']): string {
  if (cache === undefined) return 'off (GABOR_CACHE is 0)';
  const { folder, programs, scripts } = cache;
  const problem = programs.problem ?? scripts.problem;
  if (problem !== undefined) return `${folder}: cannot be used (${printable(problem)}); nothing is kept there`;
  const count = `${programs.files} program${programs.files === 1 ? '' : 's'}`;
  return `${folder}: ${count}, ${formatBytes(programs.bytes)}; the package itself, ${formatBytes(scripts.bytes)}`;
}

/** Of one core; a level that the processor does not tell of is left out. */
function processorCaches(caches: Caches): string {
  const levels = Object.entries(caches).filter(([, bytes]) => bytes > 0);
  return levels.map(([level, bytes]) => `${level.toUpperCase()} ${formatBytes(bytes)}`).join(' · ') || 'not known';
}
