import { setDefaultDevice } from '../graph/device.js';
import { cpuDevice } from './cpu-device.js';

setDefaultDevice(() => cpuDevice());
