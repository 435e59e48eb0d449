// Just enough of Protocol Buffers to write an ONNX model: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

const varint = (value) => {
  const bytes = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
};
const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const blob = (field, data) => {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
};
const message = (field, ...parts) => blob(field, Buffer.concat(parts));

const FLOAT = 1;
const INT = 2;
const INTS = 7;

function attribute(name, value) {
  const list = Array.isArray(value);
  const values = list ? value.map((v) => number(8, v)) : [number(3, value)];
  return message(5, blob(1, name), ...values, number(20, list ? INTS : INT));
}

function valueInfo(field, name, shape) {
  const dimensions = shape.map((extent) => message(1, number(1, extent)));
  return message(field, blob(1, name), message(2, message(1, number(1, FLOAT), message(2, ...dimensions))));
}

/**
 * An ONNX model with the input "x" and the output "y".
 *
 * @param nodes [{op, inputs, output, attributes}], inputs and output by name
 * @param constants [{name, shape, data}], f32
 * @param x, y shapes
 */
export function onnxGraph({ nodes, constants, x, y }) {
  const written = nodes.map(({ op, inputs, output, attributes = {} }, i) => {
    const list = Object.entries(attributes).map(([name, value]) => attribute(name, value));
    return message(
      1,
      ...inputs.map((name) => blob(1, name)),
      blob(2, output),
      blob(3, `node${i}`),
      blob(4, op),
      ...list,
    );
  });
  const initializers = constants.map(({ name, shape, data }) => {
    const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return message(5, ...shape.map((extent) => number(1, extent)), number(2, FLOAT), blob(8, name), blob(9, raw));
  });
  return Buffer.concat([
    number(1, 8),
    message(8, blob(1, ''), number(2, 17)),
    message(7, ...written, blob(2, 'bench'), ...initializers, valueInfo(11, 'x', x), valueInfo(12, 'y', y)),
  ]);
}

/**
 * `chain` nodes one after the other, all with the constant filter `w`.
 *
 * @param op Conv or ConvTranspose
 */
export function onnxConvolution({ op, attributes, chain = 1, x, w, y, filter }) {
  const nodes = Array.from({ length: chain }, (_, i) => ({
    op,
    inputs: [i === 0 ? 'x' : `t${i}`, 'w'],
    output: i === chain - 1 ? 'y' : `t${i + 1}`,
    attributes,
  }));
  return onnxGraph({ nodes, constants: [{ name: 'w', shape: w, data: filter }], x, y });
}

/**
 * A network of suites/networks.mjs for one image, without batch normalisation and residuals.
 *
 * @param parameters [{shape, data}], in the order of the layers
 */
export function onnxNetwork({ input, layers }, parameters) {
  const rest = parameters.map(({ shape, data }, i) => ({ name: `p${i}`, shape, data }));
  const constants = [...rest];
  const nodes = layers.map((layer, i) => {
    const inputs = [i === 0 ? 'x' : `t${i}`];
    const output = i === layers.length - 1 ? 'y' : `t${i + 1}`;
    if (layer.type === 'conv' || layer.type === 'linear') inputs.push(...rest.splice(0, 2).map(({ name }) => name));
    switch (layer.type) {
      case 'conv':
        return { op: 'Conv', inputs, output, attributes: { kernel_shape: [layer.kernel, layer.kernel] } };
      case 'linear':
        return { op: 'Gemm', inputs, output, attributes: { transB: 1 } };
      case 'maxPool': {
        const sides = [layer.kernel, layer.kernel];
        return { op: 'MaxPool', inputs, output, attributes: { kernel_shape: sides, strides: sides } };
      }
      case 'relu':
        return { op: 'Relu', inputs, output };
      case 'flatten':
        return { op: 'Flatten', inputs, output };
      default:
        throw new Error(`no ${layer.type}`);
    }
  });
  return onnxGraph({ nodes, constants, x: [1, ...input], y: [1, layers.at(-1).out] });
}
