import type { Node, Value } from '../../../graph/graph.js';
import type { DType } from '../../../tensor/dtype.js';
import { broadcastShapes, sameShape } from '../../../tensor/shape.js';
import { type ExportRule, FloatAttribute, type GraphWriter } from './writer.js';

/** Operators that ONNX has under another name. */
const SAME: Readonly<Record<string, string>> = {
  neg: 'Neg',
  abs: 'Abs',
  sqrt: 'Sqrt',
  exp: 'Exp',
  log: 'Log',
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  erf: 'Erf',
  sin: 'Sin',
  cos: 'Cos',
  floor: 'Floor',
  ceil: 'Ceil',
  round: 'Round',
  not: 'Not',
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  pow: 'Pow',
  lt: 'Less',
  gt: 'Greater',
  and: 'And',
  or: 'Or',
};

const dtypeOf = (value: Value): DType => value.type.dtype;

/** Operands; known ones whose elements are all equal become one number where the others make the shape. */
function operands(w: GraphWriter, node: Node): string[] {
  const { shape } = node.outputs[0].type;
  return node.inputs.map((value, i) => {
    const uniform = w.uniform(value);
    if (uniform === undefined) return w.name(value);
    const others = node.inputs.filter((_, j) => j !== i && w.uniform(node.inputs[j]) === undefined);
    const joint = others.reduce<readonly number[] | undefined>(
      (so, other) => so && broadcastShapes(so, other.type.shape),
      [],
    );
    return joint !== undefined && sameShape(joint, shape) ? w.scalar(dtypeOf(value), uniform) : w.name(value);
  });
}

const rule =
  (write: (w: GraphWriter, inputs: string[], node: Node) => string): ExportRule =>
  (w, node) => [write(w, operands(w, node), node)];

const extremum = (opType: 'Min' | 'Max', comparison: 'Less' | 'Greater'): ExportRule =>
  rule((w, [a, b], node) => {
    // Whole numbers since opset 12.
    if (w.opset >= 12 || dtypeOf(node.outputs[0]) !== 'i32') return w.node(opType, [a, b]);
    return w.node('Where', [w.node(comparison, [a, b]), a, b]);
  });

const orEqual = (opType: string, comparison: 'Less' | 'Greater'): ExportRule =>
  rule((w, [a, b]) =>
    w.opset >= 12 ? w.node(opType, [a, b]) : w.node('Or', [w.node(comparison, [a, b]), w.node('Equal', [a, b])]),
  );

function equal(w: GraphWriter, [a, b]: string[], node: Node): string {
  const bytes = dtypeOf(node.inputs[0]) === 'u8';
  return w.node('Equal', bytes ? [w.cast(a, 'i32'), w.cast(b, 'i32')] : [a, b]);
}

export const ELEMENTWISE_RULES: Readonly<Record<string, ExportRule>> = {
  ...Object.fromEntries(
    Object.entries(SAME).map(([name, opType]) => [name, rule((w, inputs) => w.node(opType, inputs))]),
  ),
  min: extremum('Min', 'Less'),
  max: extremum('Max', 'Greater'),
  le: orEqual('LessOrEqual', 'Less'),
  ge: orEqual('GreaterOrEqual', 'Greater'),
  eq: rule(equal),
  ne: rule((w, inputs, node) => w.node('Not', [equal(w, inputs, node)])),
  select: rule((w, [c, a, b], node) => {
    if (dtypeOf(node.outputs[0]) !== 'bool') return w.node('Where', [c, a, b]);
    return w.node('Or', [w.node('And', [c, a]), w.node('And', [w.node('Not', [c]), b])]);
  }),
  trunc: rule((w, [x], node) => {
    const negative = w.node('Less', [x, w.scalar(dtypeOf(node.outputs[0]), 0)]);
    return w.node('Where', [negative, w.node('Ceil', [x]), w.node('Floor', [x])]);
  }),
  // exp(x) − 1 = tanh(x / 2) · (exp(x) + 1), which loses nothing where x is small.
  expm1: rule((w, [x], node) => {
    const dtype = dtypeOf(node.outputs[0]);
    const half = w.node('Tanh', [w.node('Mul', [x, w.scalar(dtype, 0.5)])]);
    return w.node('Mul', [half, w.node('Add', [w.node('Exp', [x]), w.scalar(dtype, 1)])]);
  }),
  // log(u) − ((u − 1) − x) / u with u = 1 + x: the second term is what rounding u left out.
  log1p: rule((w, [x], node) => {
    const one = w.scalar(dtypeOf(node.outputs[0]), 1);
    const u = w.node('Add', [x, one]);
    const lost = w.node('Div', [w.node('Sub', [w.node('Sub', [u, one]), x]), u]);
    return w.node('Sub', [w.node('Log', [u]), lost]);
  }),
  relu: rule((w, [x], node) => {
    const { slope } = node.attributes as { slope: number };
    return slope === 0 ? w.node('Relu', [x]) : w.node('LeakyRelu', [x], { alpha: new FloatAttribute(slope) });
  }),
  cast: rule((w, [x], node) => w.cast(x, dtypeOf(node.outputs[0]))),
  stopGradient: (w, node) => [w.name(node.inputs[0])],
  identity: (w, node) => [w.name(node.inputs[0])],
};
