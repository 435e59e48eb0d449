import { type Device, setDevice } from '../graph/device.js';
import { CpuDevice, cpuDevice } from '../runtime/cpu-device.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { UsageError } from './failure.js';

/** `cpu` is the fastest of the three that follow which works here. */
export const DEVICE_NAMES = ['cpu', 'avx512', 'avx2', 'wasm', 'reference'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

/** Makes the device that everything runs on from here. */
export function useDevice(name: DeviceName = 'cpu', threads?: number, tune = false): Device {
  const device = createDevice(name, threads, tune);
  setDevice(device);
  return device;
}

function createDevice(name: DeviceName, threads: number | undefined, tune: boolean): Device {
  if (name === 'reference') {
    if (tune) throw new UsageError('--device reference has no schedules to choose from; only cpu devices can be tuned');
    return new ReferenceDevice();
  }
  return cpuDevice({
    ...(name === 'cpu' ? {} : { instructions: name }),
    ...(threads === undefined ? {} : { threads }),
    tune,
  });
}

/** `cpu, avx512, 2 threads` */
export function describeDevice(device: Device): string {
  if (!(device instanceof CpuDevice)) return device.name;
  return `${device.name}, ${device.instructions}, ${device.threads} ${device.threads === 1 ? 'thread' : 'threads'}`;
}
