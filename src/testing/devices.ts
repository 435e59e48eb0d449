import { test } from 'node:test';
import { type Device, setDevice } from '../graph/device.js';
import { type Instructions, nativeProblem } from '../runtime/backend.js';
import { type CpuOptions, cpuDevice } from '../runtime/cpu-device.js';
import { ReferenceDevice } from '../targets/reference/device.js';

/** A device that suites run on, and how far its results may be from exact ones. */
export interface TestDevice {
  readonly name: string;
  readonly make: () => Device;
  /** allowed difference, relative to the largest magnitude of the expected tensor */
  readonly tolerance: number;
  /** Not on every machine: `docs/support.md` may have its columns or lack them. */
  readonly optional?: boolean;
}

/** The oracle in double precision, for suites that need exact numbers (finite differences). */
export const EXACT: TestDevice = {
  name: 'reference (f64)',
  make: () => new ReferenceDevice({ precision: 'f64' }),
  tolerance: 1e-6,
};

/** The machine code that runs here, the best first. */
export const NATIVE: readonly ('avx512' | 'avx2')[] = (['avx512', 'avx2'] as const).filter(
  (features) => nativeProblem(features) === undefined,
);
/** Everything that programs can be compiled to here. */
export const INSTRUCTIONS: readonly Instructions[] = ['wasm', ...NATIVE];

/**
 * A row with one device for the process, which has threads and a memory of its own. No Winograd: suites hold results against the
 * rounding errors of sums as they are written (`winograd.test.ts` has its own).
 */
function cpuRow(name: string, options: CpuOptions, optional = false): TestDevice {
  let device: Device | undefined;
  const make = (): Device => (device ??= cpuDevice({ ...options, winograd: false }));
  return { name, make, tolerance: 2e-5, ...(optional ? { optional } : {}) };
}

const NATIVE_ROWS: Readonly<Record<'avx512' | 'avx2', TestDevice>> = {
  avx512: cpuRow('cpu avx512', { instructions: 'avx512', threads: 2 }, true),
  avx2: cpuRow('cpu avx2', { instructions: 'avx2', threads: 2 }, true),
};

/** Every device that suites of layers, losses and optimizers run on: of machine code the best there is. */
export const TEST_DEVICES: readonly TestDevice[] = [
  EXACT,
  { name: 'reference', make: () => new ReferenceDevice(), tolerance: 2e-5 },
  cpuRow('cpu wasm', { instructions: 'wasm', threads: 2 }),
  ...NATIVE.slice(0, 1).map((features) => NATIVE_ROWS[features]),
];

/** Where the engine has no relaxed SIMD it is the same as `cpu wasm`. */
const PLAIN = cpuRow('cpu wasm without relaxed SIMD', { instructions: 'wasm', threads: 1, relaxedSimd: false });

/** Every device of this machine that layers and losses are compared with PyTorch on. */
export const FIXTURE_DEVICES: readonly TestDevice[] = [
  ...TEST_DEVICES,
  ...NATIVE.slice(1).map((features) => NATIVE_ROWS[features]),
  PLAIN,
];

/** The columns of `docs/support.md`, on whatever machine. */
export const SUPPORT_TARGETS: readonly Pick<TestDevice, 'name' | 'optional'>[] = [
  ...TEST_DEVICES.slice(0, 3),
  ...Object.values(NATIVE_ROWS),
  PLAIN,
];

/** Declares `body` as one test for every device. */
export function testOnDevices(
  name: string,
  body: (device: TestDevice) => void | Promise<void>,
  devices: readonly TestDevice[] = TEST_DEVICES,
): void {
  for (const device of devices) {
    test(`${name} [${device.name}]`, async () => {
      setDevice(device.make());
      await body(device);
    });
  }
}
