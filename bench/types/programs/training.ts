// A program as in the README: data, a network, training, evaluation, a model file.
import {
  BatchNorm2d,
  Conv2d,
  evaluate,
  Flatten,
  fit,
  Linear,
  load,
  MaxPool2d,
  openDataset,
  preprocessingOf,
  ReLU,
  save,
  sequential,
} from 'gabor';

const data = await openDataset('strokes');
const model = sequential(
  new Conv2d(1, 8, 5, { padding: 2 }),
  new BatchNorm2d(8),
  new ReLU(),
  new MaxPool2d(2),
  new Conv2d(8, 16, 5),
  new BatchNorm2d(16),
  new ReLU(),
  new MaxPool2d(2),
  new Flatten(),
  new Linear(16 * 5 * 5, data.classes.length),
);
await fit(model, data, { epochs: 3, optimizer: 'adam', lr: 0.002 });
await evaluate(model, data.splits.test, data);
await save('digits.safetensors', model, { classes: data.classes, preprocessing: preprocessingOf(data) });
export const classifier = await load('digits.safetensors');
