import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../ops/broadcast.js';
import { full, tensor } from '../ops/create.js';
import { add, mul, neg, relu } from '../ops/elementwise.js';
import { argmax } from '../ops/reduce.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { InternalError } from '../tensor/errors.js';
import type { TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { compile } from './compile.js';
import { setDevice } from './device.js';
import { Graph, type Node, type Value } from './graph.js';
import type { Operator } from './operator.js';
import { graphSignature, printGraph } from './print.js';
import { assign, withScope } from './trace.js';
import { verifyGraph } from './verify.js';

setDevice(new ReferenceDevice());

const vector: TensorType = { dtype: 'f32', shape: [2] };
const x = (): Tensor => tensor([1, 2]);

const operator = (name: string, outputs = 1): Operator<object> => ({
  name,
  infer: ([first]) => new Array(outputs).fill(first ?? vector),
  reference: () => undefined,
  lower: () => ({ kind: 'reshape' }),
});
const negate = operator('negate');
const join = operator('join');
const split = operator('split', 2);

/** y = join(negate(a), b); returns y and a; a ← negate(a). */
function sample(): { graph: Graph; a: Value; b: Value; first: Node; second: Node } {
  const graph = new Graph();
  const [a, b] = [graph.addInput(vector), graph.addInput(vector)];
  const first = graph.addNode(negate, [a], {});
  const second = graph.addNode(join, [first.outputs[0], b], { k: 1 }, 'layer.0');
  graph.outputs = [second.outputs[0], a];
  graph.updates = [{ input: a, value: first.outputs[0] }];
  return { graph, a, b, first, second };
}

test('graphs print one node a line', () => {
  const w = tensor([3, 4]);
  const f = compile((v: Tensor) => {
    const y = withScope('features.0', () => relu(mul(v, w)));
    assign(w, neg(w));
    return [y, argmax(y)];
  });
  assert.equal(
    printGraph(f.graph(x())),
    [
      'graph(%0: f32[2], %1: f32[2])',
      '  %2 = mul(%0, %1) : f32[2]   # features.0',
      '  %3 = relu(%2) {"slope":0} : f32[2]   # features.0',
      '  %4 = neg(%1) : f32[2]',
      '  %5 = argmax(%3) {"axes":[0]} : i32[]',
      '  return %3, %5',
      '  update %1 ← %4',
    ].join('\n'),
  );
});

test('rewrite copies graphs; the original stays as it is', () => {
  const { graph } = sample();
  const before = printGraph(graph);
  const copy = graph.rewrite(() => undefined);
  verifyGraph(copy, 'copying');
  assert.equal(printGraph(copy), before);
  assert.equal(graphSignature(copy), graphSignature(graph));
  assert.notEqual(copy.nodes[0], graph.nodes[0]);
  assert.equal(copy.nodes[1].scope, 'layer.0');
});

test('rewrite replaces nodes by values, in outputs and updates, too', () => {
  const { graph } = sample();
  const replaced = graph.rewrite((node, inputs) => (node.operator === negate ? inputs : undefined));
  verifyGraph(replaced, 'replacing');
  assert.equal(
    printGraph(replaced),
    [
      'graph(%0: f32[2], %1: f32[2])',
      '  %2 = join(%0, %1) {"k":1} : f32[2]   # layer.0',
      '  return %2, %0',
      '  update %0 ← %0',
    ].join('\n'),
  );
  const grown = graph.rewrite((node, inputs, into) =>
    node.operator === negate ? into.addNode(negate, into.addNode(negate, inputs, {}).outputs, {}).outputs : undefined,
  );
  verifyGraph(grown, 'growing');
  assert.equal(grown.nodes.length, 3);
});

test('rewrite refuses too few values, and values from elsewhere', () => {
  const { graph, a } = sample();
  assert.throws(() => graph.rewrite((node) => (node.operator === negate ? [] : undefined)), InternalError);
  assert.throws(
    () =>
      verifyGraph(
        graph.rewrite((node) => (node.operator === negate ? [a] : undefined)),
        'mixing',
      ),
    /after mixing: .* before it is defined/,
  );
});

test('verify catches broken graphs and names the pass', () => {
  const broken = (pattern: RegExp, damage: (s: ReturnType<typeof sample>) => void): void => {
    const s = sample();
    verifyGraph(s.graph, 'nothing');
    damage(s);
    assert.throws(
      () => verifyGraph(s.graph, 'a pass'),
      (e) => e instanceof InternalError && /after a pass/.test(e.message) && pattern.test(e.message),
    );
  };
  const writable = (value: object): Record<string, unknown> => value as Record<string, unknown>;
  broken(/negate.*node 0|join/, ({ graph }) => graph.nodes.reverse());
  broken(/join .* uses %2 before it is defined/, ({ graph }) => graph.nodes.shift());
  broken(/infers f32\[2\]/, ({ first }) => {
    writable(first.outputs[0]).type = { dtype: 'f32', shape: [3] };
  });
  broken(/infers f32\[2\]/, ({ first }) => {
    writable(first.outputs[0]).type = { dtype: 'i32', shape: [2] };
  });
  broken(/has 2 outputs/, ({ first, b }) => (first.outputs as Value[]).push(b));
  broken(/points elsewhere/, ({ first, second }) => {
    writable(first.outputs[0]).node = second;
  });
  broken(/output %\d+ is undefined/, ({ graph }) => {
    graph.outputs = [new Graph().addInput(vector)];
  });
  broken(/which is not an input/, ({ graph, first }) => {
    graph.updates = [{ input: first.outputs[0], value: first.outputs[0] }];
  });
  broken(/update value %\d+ is undefined/, ({ graph, a }) => {
    graph.updates = [{ input: a, value: new Graph().addInput(vector) }];
  });
  broken(/updated twice/, ({ graph, a, b }) => {
    graph.updates = [...graph.updates, { input: a, value: b }];
  });
  broken(/update of f32\[2\] with f32\[1\]/, ({ graph, a }) => {
    const node = graph.addNode(operator('one'), [graph.addInput({ dtype: 'f32', shape: [1] })], {});
    graph.updates = [{ input: a, value: node.outputs[0] }];
  });
  broken(/input 0/, ({ graph }) => graph.inputs.reverse());
});

test('signatures tell apart what computes something else', () => {
  const values = [0, -0, 1, -1, 0.1, 0.1 + 2 ** -55, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const w = tensor([3, 4]);
  const graphs: Graph[] = [
    ...values.map((value) => compile((v: Tensor) => add(v, full([], value))).graph(x())),
    compile((v: Tensor) => neg(v)).graph(x()),
    compile((v: Tensor) => neg(v)).graph(tensor([1])),
    compile((v: Tensor) => neg(v)).graph(tensor(new Int32Array(2))),
    compile((v: Tensor) => [neg(v), v]).graph(x()),
    compile((v: Tensor) => [v, neg(v)]).graph(x()),
    compile((v: Tensor) => [neg(v), neg(v)]).graph(x()),
    compile((a: Tensor, b: Tensor) => add(neg(a), b)).graph(x(), x()),
    compile((a: Tensor, b: Tensor) => add(a, neg(b))).graph(x(), x()),
    compile((a: Tensor, b: Tensor) => add(b, neg(a))).graph(x(), x()),
    compile((a: Tensor, _b: Tensor) => add(a, neg(a))).graph(x(), x()),
    compile((v: Tensor) => add(v, w)).graph(x()),
    compile((v: Tensor) => {
      assign(w, v);
      return add(v, w);
    }).graph(x()),
    compile((v: Tensor) => sum(v, 0)).graph(tensor([[1, 2]])),
    compile((v: Tensor) => sum(v, 1)).graph(tensor([[1, 2]])),
  ];
  const second = new Graph();
  const node = second.addNode(split, [second.addInput(vector)], {});
  second.outputs = [node.outputs[0]];
  graphs.push(
    second,
    second.rewrite(() => undefined),
  );
  graphs[graphs.length - 1].outputs = [graphs[graphs.length - 1].nodes[0].outputs[1]];
  const signatures = graphs.map(graphSignature);
  assert.equal(new Set(signatures).size, signatures.length);
});

test('signatures are equal for equal graphs, whatever the numbers of values and the names of layers', () => {
  const f = (name: string) =>
    compile((v: Tensor) => withScope(name, () => mul(neg(v), full([], Number.NaN)))).graph(x());
  assert.equal(graphSignature(f('a')), graphSignature(f('b')));
  // Values of a rewritten graph have other numbers.
  const { graph } = sample();
  const shifted = graph.rewrite((n, inputs, into) => {
    if (n.operator !== negate) return undefined;
    into.addNode(negate, inputs, {});
    return into.addNode(negate, inputs, {}).outputs;
  });
  shifted.nodes.splice(0, 1);
  assert.equal(graphSignature(shifted), graphSignature(graph));
});

test('addNode applies the shape rule at once', () => {
  const graph = new Graph();
  const strict: Operator<object> = {
    ...negate,
    infer: () => {
      throw new RangeError('does not fit');
    },
  };
  assert.throws(() => graph.addNode(strict, [], {}), /does not fit/);
  assert.equal(graph.nodes.length, 0);
});
