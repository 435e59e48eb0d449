import { type Device, setDevice } from '../graph/device.js';
import { CpuDevice, cpuDevice } from '../runtime/cpu-device.js';
import { ReferenceDevice } from '../targets/reference/device.js';

export const DEVICE_NAMES = ['cpu', 'reference'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

/** Makes the device that everything runs on from here. */
export function useDevice(name: DeviceName = 'cpu', threads?: number): Device {
  const device = name === 'reference' ? new ReferenceDevice() : cpuDevice(threads === undefined ? {} : { threads });
  setDevice(device);
  return device;
}

/** `cpu, 2 threads` */
export function describeDevice(device: Device): string {
  if (!(device instanceof CpuDevice)) return device.name;
  return `${device.name}, ${device.threads} ${device.threads === 1 ? 'thread' : 'threads'}`;
}
