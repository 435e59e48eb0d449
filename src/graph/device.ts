import { OptionError } from '../tensor/errors.js';
import type { TensorType } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import type { Graph } from './graph.js';

/** A compiled graph. Inputs are in the order of the graph's; outputs are fresh; updates are written to the inputs' storage. */
export interface Executable {
  run(inputs: readonly Storage[]): Promise<Storage[]>;
  runSync(inputs: readonly Storage[]): Storage[];
  dispose(): void;
}

/** Where tensors live and programs run. */
export interface Device {
  readonly name: string;
  allocate(type: TensorType): Storage;
  compile(graph: Graph): Executable;
}

let current: Device | undefined;
let makeDefault: (() => Device) | undefined;

/** The device of new tensors and of everything computed from here on. */
export function getDevice(): Device {
  if (current === undefined) {
    if (makeDefault === undefined) throw new OptionError('no device: import the package "gabor", or call setDevice()');
    current = makeDefault();
  }
  return current;
}

/** Makes a device the one of new tensors and of everything computed from here on. Tensors stay where they were made. */
export function setDevice(device: Device): void {
  current = device;
}

/** Used by `runtime/`: how to make the device that is taken when the user chose none. */
export function setDefaultDevice(make: () => Device): void {
  makeDefault = make;
}
