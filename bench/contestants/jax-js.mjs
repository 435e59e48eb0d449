import { resolveObjectURL } from 'node:buffer';
import { Worker as NodeWorker } from 'node:worker_threads';
import { readFloats } from '../harness/arrays.mjs';
import { packageVersion } from '../harness/peers.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { splitParameters } from '../suites/networks.mjs';

/** jax-js on WebAssembly. One thread is what it does in Node; for more it needs the browser's `Worker`. */
export async function open({ threads }) {
  if (threads > 1) {
    Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: threads }, configurable: true });
    globalThis.Worker = WebWorker;
  }
  const jax = await import('@jax-js/jax');
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  return { version: packageVersion('@jax-js/jax'), prepare: (task) => prepare(jax, task) };
}

/** As much of the browser's class as jax-js uses, over Node's. */
class WebWorker {
  onmessage;
  onerror;
  #started;

  constructor(url) {
    this.#started = resolveObjectURL(url)
      .text()
      .then((source) => {
        const prelude = `const { parentPort } = require('node:worker_threads');
          globalThis.self = globalThis;
          globalThis.postMessage = (message) => parentPort.postMessage(message);
          parentPort.on('message', (data) => self.onmessage({ data }));`;
        const worker = new NodeWorker(`${prelude}\n${source}`, { eval: true });
        worker.on('message', (data) => this.onmessage?.({ data }));
        worker.on('error', (error) => this.onerror?.(error));
        return worker;
      });
    this.#started.then((worker) => {
      this.#worker = worker;
    });
  }

  #worker;

  postMessage(message) {
    if (this.#worker) this.#worker.postMessage(message);
    else this.#started.then((worker) => worker.postMessage(message));
  }
}

function prepare(jax, { kind, network, batches, files }) {
  if (kind !== 'train') throw new Unsupported(`no ${kind}`);
  const { input, batch, layers, optimizer } = network;
  if (layers.some(({ type }) => type === 'batchNorm' || type === 'residual'))
    throw new Unsupported('only plain networks');
  const { numpy: np, lax, nn, jit, valueAndGrad } = jax;
  const array = (data, shape) => np.array(Float32Array.from(data)).reshape(shape);

  // jax-js counts references: a function consumes its arguments, `.ref` keeps one.
  const loss = (parameters, x, y) => {
    let next = 0;
    let t = x;
    let shape = [batch, ...input];
    for (const layer of layers) {
      if (layer.type === 'conv') {
        const { kernel, out, stride = 1, padding = 0 } = layer;
        const pads = [
          [padding, padding],
          [padding, padding],
        ];
        t = lax.convGeneralDilated(t, parameters[next], [stride, stride], pads);
        t = t.add(parameters[next + 1].reshape([1, out, 1, 1]));
        shape = [batch, out, ...shape.slice(2).map((n) => Math.floor((n + 2 * padding - kernel) / stride) + 1)];
        next += 2;
      } else if (layer.type === 'linear') {
        t = np.matmul(t, np.transpose(parameters[next])).add(parameters[next + 1]);
        shape = [batch, layer.out];
        next += 2;
      } else if (layer.type === 'relu') t = nn.relu(t);
      else if (layer.type === 'maxPool') {
        const [n, c, h, w] = shape;
        t = np.max(t.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
        shape = [n, c, h / 2, w / 2];
      } else {
        shape = [batch, shape.slice(1).reduce((a, b) => a * b)];
        t = t.reshape(shape);
      }
    }
    return np.sum(nn.logSoftmax(t).mul(y)).mul(-1 / batch);
  };
  const differentiate = valueAndGrad(loss);
  const sgd = jit((parameters, x, y) => {
    const [value, gradients] = differentiate(
      parameters.map((p) => p.ref),
      x,
      y,
    );
    return [value, parameters.map((p, i) => p.sub(gradients[i].mul(optimizer.lr)))];
  });
  const adam = jit((state, x, y, correction) => {
    const [value, gradients] = differentiate(
      state.parameters.map((p) => p.ref),
      x,
      y,
    );
    const mean = state.mean.map((m, i) => m.mul(0.9).add(gradients[i].ref.mul(0.1)));
    const square = state.square.map((s, i) => s.mul(0.999).add(np.square(gradients[i]).mul(0.001)));
    const [one, two] = [correction.ref.slice(0), correction.slice(1)];
    const parameters = state.parameters.map((p, i) =>
      p.sub(
        mean[i].ref
          .mul(one.ref)
          .div(np.sqrt(square[i].ref.mul(two.ref)).add(1e-8))
          .mul(optimizer.lr),
      ),
    );
    one.dispose();
    two.dispose();
    return [value, { parameters, mean, square }];
  });

  const parameters = splitParameters(layers, readFloats(files.parameters)).map(({ shape, data }) => array(data, shape));
  let state = parameters;
  if (optimizer.type === 'adam') {
    const zeros = () => parameters.map((p) => np.zeros(p.shape));
    state = { parameters, mean: zeros(), square: zeros() };
  }
  const images = readFloats(files.images);
  const labels = readFloats(files.labels);
  const size = images.length / batches;
  const data = Array.from({ length: batches }, (_, i) => {
    const hot = new Float32Array(batch * 10);
    for (let row = 0; row < batch; row++) hot[row * 10 + labels[i * batch + row]] = 1;
    return { x: array(images.subarray(i * size, (i + 1) * size), [batch, ...input]), y: array(hot, [batch, 10]) };
  });
  let taken = 0;
  const run = async () => {
    const { x, y } = data[taken++ % batches];
    let value;
    if (optimizer.type === 'sgd') [value, state] = sgd(state, x.ref, y.ref);
    else {
      const correction = np.array([1 / (1 - 0.9 ** taken), 1 / (1 - 0.999 ** taken)]);
      [value, state] = adam(state, x.ref, y.ref, correction);
    }
    await jax.blockUntilReady(state);
    return (await value.data())[0];
  };
  return { run, check: async () => [await run(), await run(), await run()] };
}
