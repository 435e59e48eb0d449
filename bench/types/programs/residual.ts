// A residual network: blocks as functions of widths that the program computes, and as constants, put together with checks.
import {
  BatchNorm2d,
  Conv2d,
  GlobalAvgPool2d,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Residual,
  Sequential,
  type Signature,
  sequential,
} from 'gabor';

function block(inChannels: number, channels: number, stride: number): Residual {
  const body = sequential(
    new Conv2d(inChannels, channels, 3, { stride, padding: 1, bias: false }),
    new BatchNorm2d(channels),
    new ReLU(),
    new Conv2d(channels, channels, 3, { padding: 1, bias: false }),
    new BatchNorm2d(channels),
  );
  const shortcut =
    stride === 1 && inChannels === channels
      ? null
      : sequential(new Conv2d(inChannels, channels, 1, { stride, bias: false }), new BatchNorm2d(channels));
  return new Residual(body, shortcut, new ReLU());
}

function stage(inChannels: number, channels: number, blocks: number): Sequential {
  const layers: Module[] = Array.from({ length: blocks }, (_, i) =>
    i === 0 ? block(inChannels, channels, 2) : block(channels, channels, 1),
  );
  return sequential(...layers);
}

export const computed: Module = sequential(
  new Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false }),
  new BatchNorm2d(64),
  new ReLU(),
  new MaxPool2d(3, { stride: 2, padding: 1 }),
  ...[64, 128, 256, 512].map((width, i) => stage(i === 0 ? 64 : width / 2, width, [3, 4, 6, 3][i])),
  new GlobalAvgPool2d(),
  new Linear(512, 1000),
);

const unit = (): Residual<Signature<64, 64, 2>> =>
  new Residual(
    new Sequential<Signature<64, 64, 2>>(
      new Conv2d(64, 64, 3, { padding: 1 }),
      new BatchNorm2d(64),
      new ReLU(),
      new Conv2d(64, 64, 3, { padding: 1 }),
      new BatchNorm2d(64),
    ),
    null,
    new ReLU(),
  );

export const constant: Sequential<Signature<3, 10, 2, 0>> = sequential(
  new Conv2d(3, 64, 3, { padding: 1 }),
  new BatchNorm2d(64),
  new ReLU(),
  unit(),
  unit(),
  unit(),
  new Residual(sequential(new Conv2d(64, 64, 3, { padding: 1 }), new BatchNorm2d(64)), null, new ReLU()),
  new Residual(sequential(new Conv2d(64, 64, 3, { padding: 1 }), new BatchNorm2d(64)), null, new ReLU()),
  new GlobalAvgPool2d(),
  new Linear(64, 10),
);
