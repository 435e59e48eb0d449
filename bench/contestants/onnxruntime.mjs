import { readFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { shapesOf } from '../suites/cases.mjs';
import { onnxConvolution } from './onnx-model.mjs';

/** Both onnxruntimes. */
export function prepareTask(ort, options, task) {
  if (task.kind === 'conv') return prepareConvolution(ort, options, task);
  if (task.kind === 'net') return prepareNetwork(ort, options, task);
  throw new Unsupported(`no ${task.kind}`);
}

/** A network from its file; arrays come from and go to JavaScript. */
async function prepareNetwork(ort, options, { input, files }) {
  const session = await ort.InferenceSession.create(files.onnx, options);
  const image = readFloats(files.x);
  const run = async () => {
    const { output } = await session.run({ input: new ort.Tensor('float32', image, input) });
    return output.data;
  };
  return { run, check: run, release: () => session.release() };
}

/** A session over one node with a constant filter, which they pack once. They have no gradients. */
async function prepareConvolution(ort, options, { case: c, role, chain, files }) {
  if (role !== 'forward' && role !== 'input') throw new Unsupported('no gradients');
  const shapes = shapesOf(c);
  const transposed = c.kind.startsWith('convT');
  // The gradient with respect to the input is the transposed convolution; only at stride 1 is its size the default one.
  if (role === 'input' && c.s.some((s) => s !== 1)) throw new Unsupported('no gradients');
  const op = transposed || role === 'input' ? 'ConvTranspose' : 'Conv';
  const [from, to] = role === 'input' ? ['y', 'x'] : ['x', 'y'];
  const attributes = { strides: c.s, pads: [...c.p, ...c.p], dilations: c.d, group: c.g, kernel_shape: c.k };
  const filter = readFloats(files.w);
  const model = onnxConvolution({ op, attributes, chain, x: shapes[from], w: shapes.w, y: shapes[to], filter });
  const session = await ort.InferenceSession.create(new Uint8Array(model), options);
  const feeds = { x: new ort.Tensor('float32', readFloats(files[from]), shapes[from]) };
  return {
    run: () => session.run(feeds),
    check: async () => (await session.run(feeds)).y.data,
    release: () => session.release(),
  };
}
