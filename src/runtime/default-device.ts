import { setDefaultDevice } from '../graph/device.js';
import { ReferenceDevice } from '../targets/reference/device.js';

setDefaultDevice(() => new ReferenceDevice());
