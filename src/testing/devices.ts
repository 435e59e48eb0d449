import { test } from 'node:test';
import { type Device, setDevice } from '../graph/device.js';
import { cpuDevice } from '../runtime/cpu-device.js';
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

/** One for the process: it has threads and a memory of its own. */
let cpu: Device | undefined;
let plain: Device | undefined;

/** Every device that suites of layers, losses and optimizers run on. */
export const TEST_DEVICES: readonly TestDevice[] = [
  EXACT,
  { name: 'reference', make: () => new ReferenceDevice(), tolerance: 2e-5 },
  { name: 'cpu', make: () => (cpu ??= cpuDevice({ threads: 2 })), tolerance: 2e-5 },
];

/**
 * Every device that layers and losses are compared with PyTorch on: the columns of `docs/support.md`. Where the engine has no
 * relaxed SIMD the last two are one.
 */
export const FIXTURE_DEVICES: readonly TestDevice[] = [
  ...TEST_DEVICES,
  {
    name: 'cpu without relaxed SIMD',
    make: () => (plain ??= cpuDevice({ threads: 1, relaxedSimd: false })),
    tolerance: 2e-5,
  },
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
