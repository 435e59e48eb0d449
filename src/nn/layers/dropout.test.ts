import assert from 'node:assert/strict';
import { grad } from '../../autodiff/transform.js';
import { sum } from '../../ops/broadcast.js';
import { ones, tensor } from '../../ops/create.js';
import { channelDropout, dropout2d } from '../../ops/dropout.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { FIXTURE_DEVICES, testOnDevices } from '../../testing/devices.js';
import { recordProof } from '../../testing/support.js';
import { moduleFromConfig } from '../registry.js';
import { Dropout, Dropout1d, Dropout2d, Dropout3d } from './dropout.js';

testOnDevices('whole channels are dropped, others are scaled, and every step chooses anew', () => {
  const layers = [Dropout1d, Dropout2d, Dropout3d];
  layers.forEach((Layer, i) => {
    const layer = new Layer(0.25, { random: new Random(7) });
    const extents = [2, 3, 2].slice(0, i + 1);
    const positions = extents.reduce((a, b) => a * b, 1);
    const x = ones([40, 50, ...extents]);
    const [first, second] = [layer.forward(x).data(), layer.forward(x).data()];
    let kept = 0;
    for (let channel = 0; channel < 2000; channel++) {
      const values = new Set(first.slice(channel * positions, (channel + 1) * positions));
      assert.equal(values.size, 1, 'a channel is whole');
      const [value] = values;
      assert.ok(value === 0 || Math.abs(value - 4 / 3) < 1e-6);
      if (value !== 0) kept++;
    }
    // Five standard deviations of a binomial distribution.
    assert.ok(Math.abs(kept - 1500) < 5 * Math.sqrt(2000 * 0.25 * 0.75), `${kept} of 2000 kept`);
    assert.notDeepEqual(first, second);
    assert.deepEqual(new Layer(0.25, { random: new Random(7) }).forward(x).data(), first);
    assert.equal(layer.eval().forward(x), x);
    assert.deepEqual(moduleFromConfig(layer.config()).config(), { type: `Dropout${i + 1}d`, p: 0.25 });
  });
});

testOnDevices('the gradient passes where the channel did', () => {
  const key = tensor(Int32Array.of(3, 4));
  const x = ones([3, 5, 2, 2]);
  const y = dropout2d(x, key, 0.5);
  assert.deepEqual([...grad((t) => sum(dropout2d(t, key, 0.5)))(x).data()], [...y.data()]);
  assert.deepEqual(channelDropout(x, key, 1).data(), ones([3, 5, 2, 2]).data().fill(0));
  assert.deepEqual([...channelDropout(x, key, 0).data()], [...x.data()]);
});

/** Five standard deviations of a binomial distribution, as a bound for how many of `choices` are kept. */
const spread = (choices: number, p: number): number => 5 * Math.sqrt(choices * p * (1 - p));

testOnDevices(
  'in training as many are kept as should be, scaled exactly, and the gradient is what they were scaled by',
  ({ name }) => {
    const p = 0.25;
    [Dropout, Dropout1d, Dropout2d, Dropout3d].forEach((Layer, rank) => {
      const x = ones([40, 50, ...[2, 3, 2].slice(0, rank)]);
      const layer = new Layer(p, { random: new Random(11) });
      const subject = { operator: 'Dropout', ...(rank > 0 && { rank }), options: ['p', 'training'] };
      const slope = grad((t) => sum(layer.forward(t)))(x).data();
      const y = new Layer(p, { random: new Random(11) }).forward(x).data();
      const kept = y.filter((value) => value !== 0).length / (x.size / 2000);
      const error = Math.abs(kept - 2000 * (1 - p)) / spread(2000, p);
      assert.ok(error < 1, `${kept} of 2000 kept`);
      assert.ok(y.every((value) => value === 0 || Math.abs(value - 1 / (1 - p)) < 1e-6));
      recordProof(subject, 'forward', name, error);
      assert.deepEqual(slope, y);
      recordProof(subject, 'gradients', name, 0);
    });
  },
  FIXTURE_DEVICES,
);

testOnDevices('errors of dropout name the layer', () => {
  const key = tensor(Int32Array.of(3, 4));
  const cases: [() => unknown, typeof OptionError | typeof ShapeError, RegExp][] = [
    [() => new Dropout3d(2), OptionError, /Dropout3d: p must lie between 0 and 1, got 2/],
    [() => new Dropout1d(0.5, { inplace: true } as object), OptionError, /Dropout1d: unknown option "inplace"/],
    [
      () => new Dropout2d().forward(ones([2, 3, 4])),
      ShapeError,
      /Dropout2d: expected \[batch, channels, height, width\]/,
    ],
    [() => dropout2d(ones([2, 3, 4, 4]), key, -1), OptionError, /dropout2d: p must lie/],
    [() => channelDropout(ones([2, 3]), key), ShapeError, /channelDropout: expected \[batch, channels, length\]/],
  ];
  for (const [body, kind, message] of cases) {
    assert.throws(body, (error) => error instanceof kind && message.test(error.message), String(message));
  }
});
