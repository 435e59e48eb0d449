import { fileURLToPath } from 'node:url';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { permute, readFloats, toChannelsFirst, toChannelsLast } from '../harness/arrays.mjs';
import { packageVersion } from '../harness/peers.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { shapesOf } from '../suites/cases.mjs';

/** TensorFlow.js on WebAssembly: channels last, one thread in Node, no gradients with respect to filters. */
export async function open() {
  setWasmPaths(`${fileURLToPath(new URL('../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url))}`);
  if (!(await tf.setBackend('wasm'))) throw new Error('the wasm backend does not start');
  return { version: packageVersion('@tensorflow/tfjs-backend-wasm'), prepare };
}

function prepare({ kind, case: c, role, chain, files }) {
  if (kind !== 'conv') throw new Unsupported(`no ${kind}`);
  const shapes = shapesOf(c);
  const spatial = c.in.length;
  const depthwise = c.g === c.C && c.g === c.K;
  if ((c.g > 1 && !depthwise) || spatial > 3) throw new Unsupported('no groups');
  if (role !== 'forward' && !(role === 'input' && spatial === 2 && c.g === 1 && c.d[0] === 1)) {
    throw new Unsupported('no gradients');
  }
  const tensor = (name) => {
    const [n, channels, ...sides] = shapes[name];
    return tf.tensor(toChannelsLast(readFloats(files[name]), shapes[name]), [n, ...sides, channels]);
  };
  // [out, in, …] → […, in, out]; depthwise [c, 1, …] → […, c, 1]; transposed [in, out, …] → […, out, in].
  const order = [...c.k.map((_, s) => s + 2), ...(depthwise ? [0, 1] : [1, 0])];
  const w = tf.tensor(
    permute(readFloats(files.w), shapes.w, order),
    order.map((axis) => shapes.w[axis]),
  );
  const [pad] = c.p;
  const [from, to] = role === 'input' ? ['y', 'x'] : ['x', 'y'];
  const [n, channels, ...sides] = shapes[to];
  const x = tensor(from);
  const apply = (t) => {
    if (c.kind.startsWith('convT') || role === 'input') {
      return tf.conv2dTranspose(t, w, [n, ...sides, channels], c.s, pad);
    }
    if (depthwise) return tf.depthwiseConv2d(t, w, c.s, pad, 'NHWC', c.d);
    if (spatial === 1) {
      // conv1d takes no dilation with explicit padding, an image of height 1 does.
      const image = tf.reshape(t, [c.N, 1, c.in[0], c.C]);
      const filter = tf.reshape(w, [1, c.k[0], c.C, c.K]);
      const padding = [
        [0, 0],
        [0, 0],
        [pad, pad],
        [0, 0],
      ];
      return tf.reshape(tf.conv2d(image, filter, [1, c.s[0]], padding, 'NHWC', [1, c.d[0]]), [n, ...sides, channels]);
    }
    if (spatial === 3) {
      if (c.in.some((side, s) => side !== c.out[s])) throw new Unsupported('conv3d only pads to the same size');
      return tf.conv3d(t, w, c.s, 'same', 'NDHWC', c.d);
    }
    return tf.conv2d(t, w, c.s, pad, 'NHWC', c.d);
  };
  const compute = () => {
    let y = x;
    for (let i = 0; i < chain; i++) y = apply(y);
    return y;
  };
  const run = () => {
    tf.tidy(compute);
  };
  run();
  return {
    run,
    check() {
      const y = tf.tidy(compute);
      const data = toChannelsFirst(y.dataSync(), shapes[to]);
      y.dispose();
      return data;
    },
    release: () => tf.dispose([x, w]),
  };
}
