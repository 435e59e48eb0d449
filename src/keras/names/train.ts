export { adadelta, adagrad, adam, adamax, adamw, momentum, rmsprop, sgd } from '../optimizers.js';
