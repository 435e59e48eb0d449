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
 * A model of `chain` nodes one after the other, from input "x" to output "y", all with the constant filter `w`.
 *
 * @param op Conv or ConvTranspose
 */
export function onnxModel({ op, attributes, chain = 1, x, w, y, filter }) {
  const nodes = Array.from({ length: chain }, (_, i) => {
    const from = i === 0 ? 'x' : `t${i}`;
    const to = i === chain - 1 ? 'y' : `t${i + 1}`;
    const list = Object.entries(attributes).map(([name, value]) => attribute(name, value));
    return message(1, blob(1, from), blob(1, 'w'), blob(2, to), blob(3, `node${i}`), blob(4, op), ...list);
  });
  const raw = Buffer.from(filter.buffer, filter.byteOffset, filter.byteLength);
  const initializer = message(5, ...w.map((extent) => number(1, extent)), number(2, FLOAT), blob(8, 'w'), blob(9, raw));
  return Buffer.concat([
    number(1, 8),
    message(8, blob(1, ''), number(2, 17)),
    message(7, ...nodes, blob(2, 'bench'), initializer, valueInfo(11, 'x', x), valueInfo(12, 'y', y)),
  ]);
}
