import { OptionError, ShapeError } from '../tensor/errors.js';
import { broadcastShapes, formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { broadcastTo, sum } from './broadcast.js';
import { contract } from './convolution.js';
import { iota } from './create.js';
import { equal, where } from './elementwise.js';
import { reshape } from './reshape.js';
import { transpose } from './transpose.js';

/**
 * Products of the matrices in the last two axes; axes before them broadcast, as in NumPy and PyTorch's `matmul`. Operands of one axis are a row
 * on the left, a column on the right, and that axis goes.
 *
 * @param a […, n, k] or [k]
 * @param b […, k, m] or [k]
 */
export function batchedMatmul(a: Tensor, b: Tensor, whereText = 'batchedMatmul'): Tensor {
  if (a.rank === 0 || b.rank === 0) throw new ShapeError(`${whereText}: needs at least one axis, got ${shapes(a, b)}`);
  const left = a.rank === 1 ? reshape(a, [1, a.shape[0]]) : a;
  const right = b.rank === 1 ? reshape(b, [b.shape[0], 1]) : b;
  const [n, k] = left.shape.slice(-2);
  const [inner, m] = right.shape.slice(-2);
  const batch = broadcastShapes(left.shape.slice(0, -2), right.shape.slice(0, -2));
  if (k !== inner || batch === undefined) {
    throw new ShapeError(`${whereText}: needs […, n, k] and […, k, m] whose other axes broadcast, got ${shapes(a, b)}`);
  }
  const product = right.rank === 2 ? rows(left, right, n, k, m) : groups(left, right, batch, n, k, m);
  const axes = [...batch, ...(a.rank === 1 ? [] : [n]), ...(b.rank === 1 ? [] : [m])];
  return reshape(product, axes);
}

const shapes = (a: Tensor, b: Tensor): string => `${formatShape(a.shape)} and ${formatShape(b.shape)}`;

/** One matrix on the right: all rows on the left at once. */
function rows(left: Tensor, right: Tensor, n: number, k: number, m: number): Tensor {
  const count = sizeOf(left.shape.slice(0, -2)) * n;
  const geometry = { batch: count, groups: 1, channelsIn: m, channelsOut: k, axes: [] };
  return contract('input', right, reshape(left, [count, k]), geometry);
}

/** The products are groups of one contraction: X[n, g, m] = Σ_k W[g, k, m] · Z[n, g, k]. */
function groups(left: Tensor, right: Tensor, batch: Shape, n: number, k: number, m: number): Tensor {
  const count = sizeOf(batch);
  const z = transpose(reshape(broadcastTo(left, [...batch, n, k]), [count, n, k]), [1, 0, 2]);
  const w = reshape(broadcastTo(right, [...batch, k, m]), [count * k, m]);
  const geometry = { batch: n, groups: count, channelsIn: m, channelsOut: k, axes: [] };
  const x = contract('input', w, reshape(z, [n, count * k]), geometry);
  return transpose(reshape(x, [n, count, m]), [1, 0, 2]);
}

interface Labelled {
  readonly x: Tensor;
  readonly labels: readonly string[];
}

/**
 * Sums of products in Einstein's notation, as NumPy and PyTorch have it: `ij,jk->ik` is a matrix product, `bii->bi` takes diagonals,
 * `...` stands for any axes, which broadcast. Without `->` the result has the labels that occur once, in alphabetical order.
 *
 * @example einsum('bhqd,bhkd->bhqk', queries, keys)
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  const text = equation.replaceAll(' ', '');
  const match = /^((?:[A-Za-z,]|\.\.\.)*)(?:->((?:[A-Za-z]|\.\.\.)*))?$/.exec(text);
  if (match === null) throw new OptionError(`einsum: ${JSON.stringify(equation)} is no equation such as "ij,jk->ik"`);
  const terms = match[1].split(',');
  if (terms.length !== operands.length) {
    throw new OptionError(`einsum: ${JSON.stringify(equation)} has ${terms.length} operands, got ${operands.length}`);
  }
  const labelled = operands.map((x, i) => diagonals(equation, { x, labels: labelsOf(equation, terms[i], x) }));
  const rest = [...new Set(labelled.flatMap(({ labels }) => labels.filter((label) => label.length > 1)))].sort(
    (p, q) => Number(q.slice(1)) - Number(p.slice(1)),
  );
  const output =
    match[2] === undefined
      ? [...rest, ...implied(terms)]
      : splitTerm(match[2]).flatMap((label) => (label === '...' ? rest : [label]));
  if (new Set(output).size !== output.length)
    throw new OptionError(`einsum: ${JSON.stringify(equation)} repeats a label in its result`);
  for (const label of output) {
    if (!labelled.some(({ labels }) => labels.includes(label))) {
      throw new OptionError(`einsum: ${JSON.stringify(equation)}: no operand has the label "${label}" of the result`);
    }
  }
  const sizes = extentsOf(equation, labelled);
  let [total, ...others] = labelled;
  others.forEach((next, i) => {
    const later = new Set([...output, ...others.slice(i + 1).flatMap(({ labels }) => labels)]);
    total = combine(total, next, later, sizes);
  });
  const kept = summed(total, new Set(output));
  const order = output.map((label) => kept.labels.indexOf(label));
  return transpose(kept.x, order);
}

const splitTerm = (term: string): string[] => term.match(/\.\.\.|[A-Za-z]/g) ?? [];

/** Axes under `...` are called .0, .1, … from the last one, so that they align at the end. */
function labelsOf(equation: string, term: string, x: Tensor): string[] {
  const parts = splitTerm(term);
  const named = parts.filter((part) => part !== '...').length;
  const dots = x.rank - named;
  if (dots < 0 || (dots > 0 && !parts.includes('...')) || parts.length - named > 1) {
    throw new ShapeError(
      `einsum: "${term}" of ${JSON.stringify(equation)} does not name the axes of ${formatShape(x.shape)}`,
    );
  }
  return parts.flatMap((part) =>
    part === '...' ? Array.from({ length: dots }, (_, i) => `.${dots - 1 - i}`) : [part],
  );
}

function implied(terms: readonly string[]): string[] {
  const all = terms.flatMap(splitTerm).filter((label) => label !== '...');
  return all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort();
}

/** A label that an operand repeats means its diagonal. */
function diagonals(equation: string, { x, labels }: Labelled): Labelled {
  const at = labels.findIndex((label, i) => labels.indexOf(label) !== i);
  if (at < 0) return { x, labels };
  const first = labels.indexOf(labels[at]);
  if (x.shape[first] !== x.shape[at]) {
    throw new ShapeError(`einsum: ${JSON.stringify(equation)} takes a diagonal of ${x.shape[first]} by ${x.shape[at]}`);
  }
  const along = (axis: number): Tensor =>
    iota(
      x.shape.map((extent, i) => (i === axis ? extent : 1)),
      axis,
    );
  const y = sum(where(equal(along(first), along(at)), x, 0), [at]);
  return diagonals(equation, { x: y, labels: labels.filter((_, i) => i !== at) });
}

function extentsOf(equation: string, operands: readonly Labelled[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { x, labels } of operands) {
    labels.forEach((label, axis) => {
      const known = sizes.get(label) ?? 1;
      const extent = x.shape[axis];
      if (known !== extent && known !== 1 && extent !== 1) {
        throw new ShapeError(
          `einsum: ${JSON.stringify(equation)}: the axis "${label}" is ${known} here and ${extent} there`,
        );
      }
      sizes.set(label, known === 1 ? extent : known);
    });
  }
  return sizes;
}

/** Sums over what nobody needs. */
function summed({ x, labels }: Labelled, needed: ReadonlySet<string>): Labelled {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]));
  return axes.length === 0 ? { x, labels } : { x: sum(x, axes), labels: labels.filter((label) => needed.has(label)) };
}

/** Two operands as one product of matrices. */
function combine(a: Labelled, b: Labelled, later: ReadonlySet<string>, sizes: ReadonlyMap<string, number>): Labelled {
  const left = summed(a, new Set([...later, ...b.labels]));
  const right = summed(b, new Set([...later, ...a.labels]));
  const both = left.labels.filter((label) => right.labels.includes(label));
  const batch = both.filter((label) => later.has(label));
  const inner = both.filter((label) => !later.has(label));
  const rowLabels = left.labels.filter((label) => !both.includes(label));
  const columnLabels = right.labels.filter((label) => !both.includes(label));
  const size = (labels: readonly string[]): number => sizeOf(labels.map((label) => sizes.get(label) as number));
  const arranged = ({ x, labels }: Labelled, order: readonly string[]): Tensor => {
    const moved = transpose(
      x,
      order.map((label) => labels.indexOf(label)),
    );
    return broadcastTo(
      moved,
      order.map((label) => sizes.get(label) as number),
    );
  };
  const product = batchedMatmul(
    reshape(arranged(left, [...batch, ...rowLabels, ...inner]), [size(batch), size(rowLabels), size(inner)]),
    reshape(arranged(right, [...batch, ...inner, ...columnLabels]), [size(batch), size(inner), size(columnLabels)]),
    'einsum',
  );
  const labels = [...batch, ...rowLabels, ...columnLabels];
  return {
    x: reshape(
      product,
      labels.map((label) => sizes.get(label) as number),
    ),
    labels,
  };
}
