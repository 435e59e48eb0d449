export { earlyStopping } from '../callbacks.js';
