import convnetjs from 'convnetjs';
import { permute, readFloats, toChannelsLast } from '../harness/arrays.mjs';
import { packageVersion } from '../harness/peers.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { splitParameters } from '../suites/networks.mjs';

/** ConvNetJS trains image by image in plain JavaScript; its trainer adds gradients up and moves after `batch_size` images. */
export async function open() {
  return { version: packageVersion('convnetjs'), prepare };
}

function prepare({ kind, network, batches, files }) {
  if (kind !== 'train') throw new Unsupported(`no ${kind}`);
  const { input, batch, layers, optimizer } = network;
  if (optimizer.type !== 'sgd') throw new Unsupported(`no ${optimizer.type}`);
  const net = new convnetjs.Net();
  net.makeLayers(definitions(input, layers));
  load(net, layers, input, readFloats(files.parameters));
  const trainer = new convnetjs.Trainer(net, {
    method: 'sgd',
    learning_rate: optimizer.lr,
    momentum: optimizer.momentum ?? 0,
    batch_size: batch,
  });
  const [channels, height, width] = input;
  const images = toChannelsLast(readFloats(files.images), [batches * batch, ...input]);
  const size = channels * height * width;
  const labels = readFloats(files.labels);
  const volumes = Array.from({ length: batches * batch }, (_, i) => {
    const volume = new convnetjs.Vol(width, height, channels, 0);
    volume.w.set(images.subarray(i * size, (i + 1) * size));
    return volume;
  });
  let next = 0;
  const run = () => {
    let loss = 0;
    for (let i = 0; i < batch; i++) {
      const at = (next * batch + i) % volumes.length;
      loss += trainer.train(volumes[at], labels[at]).cost_loss;
    }
    next++;
    return loss / batch;
  };
  return { run, check: () => [run(), run(), run()] };
}

function definitions([depth, height, width], layers) {
  const list = [{ type: 'input', out_sx: width, out_sy: height, out_depth: depth }];
  layers.forEach((layer, i) => {
    const activation = layers[i + 1]?.type === 'relu' ? 'relu' : undefined;
    if (layer.type === 'conv') {
      const { kernel, out, stride = 1, padding = 0 } = layer;
      list.push({ type: 'conv', sx: kernel, filters: out, stride, pad: padding, activation });
    } else if (layer.type === 'maxPool') list.push({ type: 'pool', sx: layer.kernel, stride: layer.kernel });
    else if (layer.type === 'linear' && i === layers.length - 1) list.push({ type: 'softmax', num_classes: layer.out });
    else if (layer.type === 'linear') list.push({ type: 'fc', num_neurons: layer.out, activation });
    else if (layer.type !== 'relu' && layer.type !== 'flatten') throw new Unsupported(`no ${layer.type}`);
  });
  return list;
}

/** Copies the initial values in: volumes are [height][width][depth], one filter or neuron each. */
function load(net, layers, input, parameters) {
  const own = net.layers.filter(({ filters }) => filters !== undefined);
  const given = splitParameters(layers, parameters);
  let previous = { out_depth: input[0], out_sx: input[2], out_sy: input[1] };
  for (const layer of net.layers) {
    const at = own.indexOf(layer);
    if (at >= 0) {
      const [weight, bias] = given.slice(2 * at, 2 * at + 2);
      // What a fully connected layer sees was [depth, height, width] to PyTorch.
      const { out_depth: depth, out_sx: width, out_sy: height } = previous;
      const shape = weight.shape.length === 4 ? weight.shape : [weight.shape[0], depth, height, width];
      const data = permute(weight.data, shape, [0, 2, 3, 1]);
      const size = data.length / shape[0];
      layer.filters.forEach((filter, i) => {
        filter.w.set(data.subarray(i * size, (i + 1) * size));
      });
      layer.biases.w.set(bias.data);
    }
    previous = layer;
  }
}
