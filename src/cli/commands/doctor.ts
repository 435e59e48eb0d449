import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';
import { type Device, getDevice, setDevice } from '../../graph/device.js';
import { formatBytes } from '../../inspect/format.js';
import { contract } from '../../ops/convolution.js';
import { tensor } from '../../ops/create.js';
import { defaultThreads } from '../../runtime/threads.js';
import { enableRelaxedSimd, wasmFeatures } from '../../targets/cpu/wasm/features.js';
import { DEVICE_NAMES, type DeviceName, useDevice } from '../devices.js';
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
  readonly wasm: {
    readonly simd: boolean;
    readonly relaxedSimd: boolean;
    readonly fused: boolean;
    readonly threads: boolean;
  };
  readonly threads: number;
  readonly memory: { readonly total: number; readonly free: number };
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
  await enableRelaxedSimd();
  const { simd, relaxedSimd, fused, threads } = wasmFeatures();
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
    wasm: { simd, relaxedSimd, fused, threads },
    threads: defaultThreads(),
    memory: { total: totalmem(), free: freemem() },
    targets,
  };
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

/** Computes a small convolution whose result is known: the corner sums of 1 … 16 under a 3×3 filter of ones. */
async function tryTarget(name: DeviceName): Promise<TargetReport> {
  const before: Device = getDevice();
  try {
    const device = useDevice(name);
    const began = performance.now();
    const axis = { input: 4, kernel: 3, output: 2, stride: 1, dilation: 1, padLow: 0 };
    using x = tensor(
      Float32Array.from({ length: 16 }, (_, i) => i + 1),
      { shape: [1, 1, 4, 4] },
    );
    using w = tensor(new Float32Array(9).fill(1), { shape: [1, 1, 3, 3] });
    using y = contract('output', x, w, { batch: 1, groups: 1, channelsIn: 1, channelsOut: 1, axes: [axis, axis] });
    const result = [...y.data()];
    const milliseconds = performance.now() - began;
    const right = result.length === 4 && [54, 63, 90, 99].every((value, i) => result[i] === value);
    return right
      ? { name, works: true, detail: `${device.name}; first convolution in ${milliseconds.toFixed(1)} ms` }
      : { name, works: false, detail: `computed ${result.join(', ')} instead of 54, 63, 90, 99` };
  } catch (error) {
    return { name, works: false, detail: error instanceof Error ? error.message : String(error) };
  } finally {
    setDevice(before);
  }
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
    ['Memory', `${formatBytes(report.memory.total)}, ${formatBytes(report.memory.free)} free`],
    ['Threads', `${report.threads}${process.env.GABOR_THREADS ? ' (from GABOR_THREADS)' : ''}`],
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
