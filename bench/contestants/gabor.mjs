import { concatenate, readFloats, sizeOf, toChannelsFirst, toChannelsLast } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { packageVersion } from '../harness/peers.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { geometryOf, shapesOf } from '../suites/cases.mjs';

/** @param instructions `x64`: the best that this processor has; else as in `cpuDevice` */
export async function open({ threads, instructions }) {
  const gabor = await importGabor();
  const { nativeProblem } = await importGabor('runtime/backend.js');
  const best = () => {
    const found = ['avx512', 'avx2'].find((name) => nativeProblem(name) === undefined);
    if (found === undefined) throw new Error(nativeProblem('avx2'));
    return found;
  };
  const chosen = instructions === 'x64' ? best() : instructions;
  const devices = new Map();
  const device = (winograd) => {
    if (!devices.has(winograd)) devices.set(winograd, gabor.cpuDevice({ threads, instructions: chosen, winograd }));
    return devices.get(winograd);
  };
  device(true);
  return {
    version: `${packageVersion('../..')} ${chosen}`,
    prepare(task) {
      switch (task.kind) {
        case 'conv':
          return convolution(gabor, device(task.variant !== 'direct'), task);
        case 'net':
          return network(gabor, device(true), task);
        default:
          return training(gabor, device(true), task);
      }
    },
  };
}

/** Cases with the filter or stride that Winograd's algorithm is for, and gradients: measured without it, too. */
const HAS_DIRECT = /^(A0[1-4]|B)/;

/**
 * Variants: `nchw` has its tensors in the device's memory, as in PyTorch's default order; `nhwc` has activations with the
 * channels last, as a network has them inside a program; `direct` is `nhwc` without Winograd's algorithm; `copies` is `nchw` with the
 * activations copied from and to JavaScript in every run, which is what libraries do that take and return arrays.
 */
function convolution(gabor, device, { case: c, role, variant, chain, files }) {
  if (variant === 'direct' && !HAS_DIRECT.test(c.id)) throw new Unsupported('the same as nhwc');
  if (variant === 'copies' && role !== 'forward') throw new Unsupported('forward only');
  gabor.setDevice(device);
  const { compile, conv, contract, tensor, transpose } = gabor;
  const shapes = shapesOf(c);
  const last = variant === 'nhwc' || variant === 'direct';
  const image = (shape, file) => {
    const data = readFloats(file);
    const [n, channels, ...spatial] = shape;
    return last ? tensor(toChannelsLast(data, shape), { shape: [n, ...spatial, channels] }) : tensor(data, { shape });
  };
  const rank = c.in.length + 2;
  const toFirst = (t) => (last ? transpose(t, [0, rank - 1, ...c.in.map((_, s) => s + 1)]) : t);
  const toLast = (t) => (last ? transpose(t, [0, ...c.in.map((_, s) => s + 2), 1]) : t);
  const w = tensor(readFloats(files.w), { shape: shapes.w });
  const transposed = c.kind.startsWith('convT');
  const geometry = geometryOf(c);

  let inputs;
  let f;
  if (role === 'forward') {
    inputs = [image(shapes.x, files.x)];
    f = (x) => {
      let y = toFirst(x);
      for (let i = 0; i < chain; i++) {
        y = transposed
          ? contract('input', w, y, geometry)
          : conv(y, w, { stride: c.s, padding: c.p, dilation: c.d, groups: c.g });
      }
      return [toLast(y)];
    };
  } else {
    const dy = image(shapes.y, files.y);
    inputs = role === 'input' ? [dy] : [dy, image(shapes.x, files.x)];
    f = (z, x) => {
      const dz = toFirst(z);
      const results = [];
      if (role !== 'filter') results.push(toLast(contract('input', w, dz, geometry)));
      if (role !== 'input') results.push(contract('filter', toFirst(x), dz, geometry));
      return results;
    };
  }
  const program = compile(f);
  const host = variant === 'copies' ? inputs.map((t) => t.data()) : undefined;
  return {
    run() {
      gabor.setDevice(device);
      // In training the filter is another one in every step, and has to be packed anew.
      if (role !== 'forward') w.storage.changed?.();
      host?.forEach((data, i) => {
        inputs[i].write(data);
      });
      const results = program.sync(...inputs);
      for (const result of results) {
        if (host !== undefined) result.data();
        result.dispose();
      }
    },
    check() {
      const results = program.sync(...inputs);
      const expected = { forward: [shapes.y], input: [shapes.x], filter: [shapes.w], both: [shapes.x, shapes.w] }[role];
      const parts = results.map((result, i) => {
        const data = result.data();
        return last && expected[i] !== shapes.w ? toChannelsFirst(data, expected[i]) : data;
      });
      for (const result of results) result.dispose();
      return concatenate(parts);
    },
    release() {
      program.dispose();
      for (const t of [...inputs, w]) t.dispose();
    },
  };
}

/** Variants: the network as it is imported, or as the zoo has it (`zoo`). The image comes from JavaScript and the outputs go there. */
async function network(gabor, device, { name, variant, input, state, files }) {
  gabor.setDevice(device);
  const model = variant === 'zoo' ? await zooModel(gabor, name, state, files) : await gabor.loadOnnx(files.onnx);
  model.eval();
  const predict = gabor.compile((x) => model.call(x));
  const image = readFloats(files.x);
  const run = async () => {
    const x = gabor.tensor(image, { shape: input });
    const y = await predict(x);
    const outputs = y.data();
    x.dispose();
    y.dispose();
    return outputs;
  };
  return {
    run,
    check: run,
    release() {
      predict.dispose();
      model.dispose();
    },
  };
}

async function zooModel(gabor, name, state, files) {
  const { MODELS } = await importGabor('models/index.js');
  const model = gabor.init.skipInit(() => MODELS[name].create());
  const tensors = model.stateDict();
  const data = readFloats(files.state);
  let at = 0;
  for (const entry of state) tensors[entry.name].write(data.subarray(at, (at += sizeOf(entry.shape))));
  return model;
}

/** One compiled step: forward pass, loss, gradients and update are one program; the loss is read after every step. */
function training(gabor, device, { network, batches, files }) {
  gabor.setDevice(device);
  const { compile, crossEntropy, gradients, SGD, Adam, tensor } = gabor;
  const model = buildModel(gabor, network.layers);
  model.train();
  const initial = readFloats(files.parameters);
  let at = 0;
  for (const parameter of model.parameters()) {
    parameter.write(initial.subarray(at, at + parameter.size));
    at += parameter.size;
  }
  if (at !== initial.length) throw new Error(`the model has ${at} parameters, the network ${initial.length}`);
  const { type, ...options } = network.optimizer;
  const optimizer = type === 'sgd' ? new SGD(model.parameters(), options) : new Adam(model.parameters(), options);
  const step = compile((x, labels) => {
    const loss = crossEntropy(model.call(x), labels);
    optimizer.step(gradients(loss, optimizer.parameters));
    return loss;
  });
  const images = readFloats(files.images);
  const labels = readFloats(files.labels);
  const size = images.length / batches;
  const data = Array.from({ length: batches }, (_, i) => [
    tensor(images.subarray(i * size, (i + 1) * size), { shape: [network.batch, ...network.input] }),
    tensor(Int32Array.from(labels.subarray(i * network.batch, (i + 1) * network.batch)), { dtype: 'i32' }),
  ]);
  let next = 0;
  const run = async () => {
    const loss = await step(...data[next++ % batches]);
    const value = loss.item();
    loss.dispose();
    return value;
  };
  return {
    run,
    check: async () => [await run(), await run(), await run()],
    release() {
      step.dispose();
      optimizer.dispose();
      model.dispose();
      for (const t of data.flat()) t.dispose();
    },
  };
}

export function buildModel(gabor, layers) {
  const { Sequential } = gabor;
  return new Sequential(...layers.map((layer) => buildLayer(gabor, layer)));
}

function buildLayer(gabor, layer) {
  const { Conv2d, BatchNorm2d, ReLU, MaxPool2d, AdaptiveAvgPool2d, Flatten, Linear, Residual } = gabor;
  switch (layer.type) {
    case 'conv':
      return new Conv2d(layer.in, layer.out, layer.kernel, {
        stride: layer.stride,
        padding: layer.padding,
        bias: layer.bias,
      });
    case 'batchNorm':
      return new BatchNorm2d(layer.channels);
    case 'relu':
      return new ReLU();
    case 'maxPool':
      return new MaxPool2d(layer.kernel);
    case 'averagePool':
      return new AdaptiveAvgPool2d(1);
    case 'flatten':
      return new Flatten();
    case 'linear':
      return new Linear(layer.in, layer.out);
    case 'residual':
      return new Residual(
        buildModel(gabor, layer.body),
        layer.shortcut.length > 0 ? buildModel(gabor, layer.shortcut) : undefined,
        new ReLU(),
      );
    default:
      throw new Error(`no layer ${layer.type}`);
  }
}
