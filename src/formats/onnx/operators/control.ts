import { full } from '../../../ops/create.js';
import { greaterEqual, mul, where } from '../../../ops/elementwise.js';
import { identity } from '../../../ops/identity.js';
import { uniform } from '../../../ops/random.js';
import { reshape } from '../../../ops/reshape.js';
import { sameShape } from '../../../tensor/shape.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { OnnxValue } from '../value.js';

/** A branch where the condition is known while tracing; otherwise both are computed, and one is taken. */
function condition(c: OperatorContext): Results {
  const { known } = c.value(0);
  const branch = (name: string): Results => c.surroundings.subgraph(c.graph(name));
  if (known !== undefined) return branch(known[0] !== 0 ? 'then_branch' : 'else_branch');
  const [yes, no] = [branch('then_branch'), branch('else_branch')];
  const choice = reshape(c.x(0), []);
  return yes.map((a, i) => {
    const b = no[i];
    if (a === undefined || b === undefined) return undefined;
    if (a.type !== b.type || !sameShape(a.shape, b.shape)) {
      c.refuse(`the condition depends on data, and output ${i} has another shape in each branch`);
    }
    return OnnxValue.of(a.type, where(choice, a.tensor, b.tensor));
  });
}

/** Drops in nodes that say so only (`training_mode`): exported for use, networks do without. */
function dropout(c: OperatorContext): Results {
  const x = c.x(0);
  const ratio = c.opset < 12 ? c.float('ratio', 0.5) : (c.numbersOr(1, [0.5])[0] ?? 0.5);
  const training = c.opset >= 12 && (c.numbersOr(2, [0])[0] ?? 0) !== 0;
  const mask = c.opset < 10 ? 'float' : 'bool';
  if (!training || ratio === 0) {
    return [
      OnnxValue.of(c.value(0).type, identity(x)),
      OnnxValue.of(mask, full(x.shape, 1, mask === 'bool' ? 'bool' : 'f32')),
    ];
  }
  const kept = greaterEqual(uniform(c.surroundings.randomKey(), x.shape), ratio);
  return [OnnxValue.of(c.value(0).type, where(kept, mul(x, 1 / (1 - ratio)), 0)), OnnxValue.of('bool', kept)];
}

export const CONTROL: OperatorTable = {
  Dropout: {
    attributes: ['ratio', 'is_test', 'seed', 'consumed_inputs'],
    statics: [1, 2],
    volatile: true,
    run: dropout,
  },
  If: { attributes: ['then_branch', 'else_branch'], statics: [0], run: condition },
};
