import type { Device } from '../graph/device.js';
import { getDevice, setDevice } from '../graph/device.js';
import '../runtime/default-device.js';
import { ReferenceDevice } from '../targets/reference/device.js';

export const DEVICE_NAMES = ['cpu', 'reference'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

/** Makes the device that everything runs on from here. */
export function useDevice(name: DeviceName = 'cpu', threads?: number): Device {
  if (threads !== undefined) process.env.GABOR_THREADS = String(threads);
  if (name === 'reference') setDevice(new ReferenceDevice());
  return getDevice();
}
