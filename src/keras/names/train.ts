export { adam, adamw, momentum, sgd } from '../optimizers.js';
