import { readFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { shapesOf } from '../suites/cases.mjs';
import { onnxConvolution } from './onnx-model.mjs';

/** Both onnxruntimes: a session over one node with a constant filter, which they pack once. They have no gradients. */
export async function prepareConvolution(ort, options, { kind, case: c, role, chain, files }) {
  if (kind !== 'conv') throw new Unsupported(`no ${kind}`);
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
