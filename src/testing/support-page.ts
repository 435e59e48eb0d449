import type { Direction, Proof } from './support.js';

/** A column pair of the page. */
export interface Target {
  readonly name: string;
  /** Not on every machine: its columns may be missing here or there. */
  readonly optional?: boolean;
}

const DIRECTIONS: readonly Direction[] = ['forward', 'gradients'];
const SIGNS: Readonly<Record<Direction, string>> = { forward: '→', gradients: '∇' };
const RANKS: readonly number[] = [1, 2, 3];
const NONE = '–';

/** Families in the order of the page, by the names of operators and layers; the first that fits. */
const FAMILIES: readonly (readonly [string, RegExp])[] = [
  ['Random geometry', / of random geometry$/],
  ['Convolutions and linear layers', /Conv|Linear$/],
  ['Pooling and unpooling', /Pool|Unpool/],
  ['Normalisation', /Norm$/],
  ['Recurrent layers', /^(RNN|LSTM|GRU)$/],
  ['Dropout', /^Dropout$/],
  ['Resizing and rearranging', /^(Upsample|Pixel|ChannelShuffle|Flatten)/],
  ['Padding', /Pad$/],
  ['Losses', /Loss$|^crossEntropy$/],
  ['Embedding and containers', /^(Embedding|Sequential|ModuleList|Residual|Parallel|Identity)$/],
  ['Activations', /./],
];

const HEAD = `# What is proven

Written by \`npm run support\` from what the tests saw; \`npm test\` fails where it lists what they no longer prove, or lacks what they do.

Every layer and loss is computed with each of its options on every target, outputs (→) and all gradients (∇), and compared with
PyTorch in double precision: a figure is the largest error seen, rounded up, for one, two and three spatial axes in this order where it depends
on them, and \`${NONE}\` means none. Errors are relative to a bound for single precision from a running error analysis of the
operations computed: each passes on the errors of its operands to first order and adds a rounding, ε = 2⁻²⁴ of its result, and a sum of n terms adds
√n · ε · Σ |terms|, so that for a convolution the bound is √n · ε · Σ |x| |w| and the roundings of products and inputs. So 0 means the very
same numbers, most of 1 is one rounding where nothing is computed but copied, more than 1 would be a failing test, and what \`reference (f64)\` shows are
the eight digits with which PyTorch's results are stored. Convolutions are summed as they are written: how far Winograd's algorithm,
which is on by default, may be off is in [decisions/winograd.md](decisions/winograd.md), and has tests of its own.
`;

/** Rounded up to .01, .02, .05, .1, .2, .5, 1, …; zero stays. */
export function figure(error: number): string {
  if (error === 0) return '0';
  for (const step of [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]) {
    if (error <= step) return String(step).replace(/^0/, '');
  }
  return '>1';
}

/** `docs/support.md` of everything that was proven. */
export function renderSupport(proofs: readonly Proof[], targets: readonly Target[]): string {
  const columns = targets.filter(({ name }) => proofs.some(({ target }) => target === name));
  // Several processes may have proven the same.
  const errors = new Map<string, number>();
  for (const proof of proofs) errors.set(keyOf(proof), Math.max(errors.get(keyOf(proof)) ?? 0, proof.error));
  const cells = new Map([...errors].map(([key, error]) => [key, figure(error)]));
  const lines = [HEAD];
  for (const [family] of FAMILIES) {
    const members = proofs.filter(({ operator }) => familyOf(operator) === family);
    if (members.length === 0) continue;
    const heads = columns.flatMap(({ name }, i) =>
      DIRECTIONS.map((direction) => `${i >= 0 && direction === 'forward' ? `${name} ` : ''}${SIGNS[direction]}`),
    );
    lines.push(`## ${family}\n`, row(['', 'option', ...heads]), row(['---', '---', ...heads.map(() => '---')]));
    let last = '';
    for (const operator of unique(members.map((proof) => proof.operator))) {
      const own = members.filter((proof) => proof.operator === operator);
      for (const option of unique(own.map((proof) => proof.option))) {
        const ranks = own.some(({ rank, option: o }) => rank !== null && o === option) ? RANKS : [null];
        const both = ranks !== RANKS || own.every(({ rank, option: o }) => rank !== null || o !== option);
        for (const list of both ? [ranks] : [RANKS, [null]]) {
          const figures = columns.flatMap(({ name }) =>
            DIRECTIONS.map((direction) => {
              const parts = list.map((rank) => cells.get(keyOf({ operator, rank, option, direction, target: name })));
              return parts.every((part) => part === undefined) ? NONE : parts.map((part) => part ?? NONE).join(' ');
            }),
          );
          lines.push(row([operator === last ? '' : `**${operator}**`, option, ...figures]));
          last = operator;
        }
      }
    }
    lines.push('');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** What a page lists: one text for each operator, rank, option, direction and target. */
export function listedSupport(page: string): Set<string> {
  const listed = new Set<string>();
  let columns: { target: string; direction: Direction }[] = [];
  let operator = '';
  for (const line of page.split('\n')) {
    if (!line.startsWith('|')) continue;
    const [first, option, ...figures] = line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    if (option === '---') continue;
    if (option === 'option') {
      let target = '';
      columns = figures.map((head) => {
        const [, name, sign] = /^(.*?)\s*([→∇])$/.exec(head) ?? [];
        target = name || target;
        return { target, direction: sign === SIGNS.forward ? 'forward' : 'gradients' };
      });
      operator = '';
      continue;
    }
    operator = first.replaceAll('*', '') || operator;
    columns.forEach(({ target, direction }, i) => {
      const parts = figures[i].split(' ');
      parts.forEach((part, at) => {
        if (part === NONE) return;
        const rank = parts.length === 1 ? null : RANKS[at];
        listed.add(keyOf({ operator, rank, option, direction, target }));
      });
    });
  }
  return listed;
}

/** How the page differs from what was proven, other than in the figures; empty where it does not. */
export function supportDifferences(page: string, proofs: readonly Proof[], targets: readonly Target[]): string[] {
  const listed = [...listedSupport(page)].map(parts);
  const proven = proofs.map((proof) => parts(keyOf(proof)));
  const has = (list: readonly Parts[], name: string): boolean => list.some(({ target }) => target === name);
  // A target that is not on every machine counts where both have it.
  const compared = new Set(
    targets
      .filter(({ name, optional }) => !optional || (has(listed, name) && has(proven, name)))
      .map(({ name }) => name),
  );
  const known = new Set(targets.map(({ name }) => name));
  const keys = (list: readonly Parts[]): Set<string> =>
    new Set(list.filter(({ target }) => compared.has(target) || !known.has(target)).map(({ key }) => key));
  const [before, now] = [keys(listed), keys(proven)];
  return [
    ...[...before].filter((key) => !now.has(key)).map((key) => `listed, but no longer proven: ${key}`),
    ...[...now].filter((key) => !before.has(key)).map((key) => `proven, but not listed: ${key}`),
  ];
}

interface Parts {
  readonly key: string;
  readonly target: string;
}

const parts = (key: string): Parts => ({ key, target: key.slice(key.lastIndexOf(' on ') + 4) });

function keyOf({ operator, rank, option, direction, target }: Omit<Proof, 'error'>): string {
  return `${operator}${rank === null ? '' : ` ${rank}-D`}, ${option}, ${direction} on ${target}`;
}

function familyOf(operator: string): string | undefined {
  return FAMILIES.find(([, pattern]) => pattern.test(operator))?.[0];
}

/** Distinct texts in order; what has no options comes first. */
function unique(texts: readonly string[]): string[] {
  const first = (text: string): number => (text === 'defaults' ? 0 : 1);
  return [...new Set(texts)].sort((a, b) => first(a) - first(b) || (a < b ? -1 : 1));
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
