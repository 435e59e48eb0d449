import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
// Registers the gradients, which the core's build for Node leaves out.
import '@tensorflow/tfjs-layers';
import { permute, readFloats, toChannelsLast } from '../harness/arrays.mjs';
import { packageVersion } from '../harness/peers.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { splitParameters } from '../suites/networks.mjs';

/** TensorFlow.js in plain JavaScript (its WebAssembly backend has no gradients of filters): channels last. */
export async function open() {
  await tf.setBackend('cpu');
  tf.enableProdMode();
  return { version: packageVersion('@tensorflow/tfjs-backend-cpu'), prepare };
}

function prepare({ kind, network, batches, files }) {
  if (kind !== 'train') throw new Unsupported(`no ${kind}`);
  const { input, batch, layers, optimizer: settings } = network;
  if (layers.some(({ type }) => type === 'batchNorm' || type === 'residual'))
    throw new Unsupported('only plain networks');
  const variables = [];
  let channels = input[0];
  const given = splitParameters(layers, readFloats(files.parameters));
  for (const { shape, data } of given) {
    if (shape.length === 4) {
      variables.push(
        tf.variable(tf.tensor(permute(data, shape, [2, 3, 1, 0]), [shape[2], shape[3], shape[1], shape[0]])),
      );
      channels = shape[0];
    } else if (shape.length === 2) {
      // The first linear layer saw [channels, side, side] in PyTorch, here [side, side, channels].
      const first = !variables.some((v) => v.rank === 2);
      const side = first ? Math.sqrt(shape[1] / channels) : 1;
      const depth = first ? channels : shape[1];
      const order = permute(data, [shape[0], depth, side, side], [2, 3, 1, 0]);
      variables.push(tf.variable(tf.tensor(order, [shape[1], shape[0]])));
    } else variables.push(tf.variable(tf.tensor(data, shape)));
  }
  const forward = (x) => {
    let y = x;
    let next = 0;
    for (const layer of layers) {
      if (layer.type === 'conv') {
        y = tf.add(tf.conv2d(y, variables[next], layer.stride ?? 1, layer.padding ?? 0), variables[next + 1]);
        next += 2;
      } else if (layer.type === 'linear') {
        y = tf.add(tf.matMul(y, variables[next]), variables[next + 1]);
        next += 2;
      } else if (layer.type === 'relu') y = tf.relu(y);
      else if (layer.type === 'maxPool') y = tf.maxPool(y, layer.kernel, layer.kernel, 'valid');
      else y = tf.reshape(y, [batch, y.size / batch]);
    }
    return y;
  };
  const optimizer = settings.type === 'sgd' ? tf.train.sgd(settings.lr) : tf.train.adam(settings.lr);
  const size = input.reduce((a, b) => a * b);
  const images = toChannelsLast(readFloats(files.images), [batches * batch, ...input]);
  const labels = Int32Array.from(readFloats(files.labels));
  const [depth, height, width] = input;
  const data = Array.from({ length: batches }, (_, i) => ({
    x: tf.tensor(images.subarray(i * batch * size, (i + 1) * batch * size), [batch, height, width, depth]),
    y: tf.oneHot(tf.tensor1d(labels.subarray(i * batch, (i + 1) * batch), 'int32'), 10, 1, 0, 'float32'),
  }));
  let next = 0;
  const run = () => {
    const { x, y } = data[next++ % batches];
    const loss = optimizer.minimize(() => tf.losses.softmaxCrossEntropy(y, forward(x)), true, variables);
    const [value] = loss.dataSync();
    loss.dispose();
    return value;
  };
  return { run, check: () => [run(), run(), run()] };
}
