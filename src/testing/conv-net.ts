import {
  AvgPool2d,
  BatchNorm2d,
  Conv2d,
  ConvTranspose2d,
  Flatten,
  GELU,
  Linear,
  MaxPool2d,
  type Module,
  PReLU,
  ReLU,
  Sequential,
} from '../nn/index.js';

/** The network of `scripts/fixtures_formats.py`: 3×16×16 to 5 classes. */
export function convNet(): Module {
  return new Sequential(
    new Conv2d(3, 8, 3, { stride: 2, padding: 1, bias: false }),
    new BatchNorm2d(8),
    new ReLU(),
    new Conv2d(8, 8, 3, { padding: 2, dilation: 2, groups: 8 }),
    new PReLU(8),
    new MaxPool2d(3, { stride: 2, padding: 1 }),
    new ConvTranspose2d(8, 6, 3, { stride: 2, padding: 1, outputPadding: 1 }),
    new GELU(),
    new AvgPool2d(2),
    new Flatten(),
    new Linear(6 * 4 * 4, 5),
  );
}
