import type { OperatorTable } from '../formats/onnx/context.js';

/** What one test saw. */
export interface OnnxResult {
  readonly operators: readonly string[];
  readonly opset: number;
  readonly name: string;
  /** undefined: passed everywhere */
  readonly exception: string | undefined;
  readonly suite: 'node' | 'runtime';
}

const HEAD = `# Operators of ONNX

Written by \`npm run onnx\` from what the tests saw; \`npm test\` fails where the two differ.

\`loadOnnx\` imports these operators of the default domain, from the version of the operator set that introduced them (the first column) to the
newest, NEWEST. *Node tests* are ONNX's own, *compared* are small models whose outputs ONNX Runtime computed (\`scripts/fixtures_onnx.mjs\`): how many
passed of how many there are, and in which operator sets. Each runs on the reference and on WebAssembly, a part of them as machine code, too
(\`GABOR_ONNX=all\`: all).
`;

const TAIL = `## What there is not

- \`Loop\`, \`Scan\`, sequences, optional values, maps: control flow over data. (\`If\` is there: with a condition that is known once shapes are, one branch;
  otherwise both, where their shapes are equal.)
- Strings and what works on them; complex numbers; sparse tensors.
- Shapes that depend on data: \`NonZero\`, \`Compress\`, \`Range\` and their kin work on what follows from shapes and constants; \`NonMaxSuppression\` and \`Unique\`
  are not there.
- Training operators (domain \`ai.onnx.preview.training\`). (Functions that a file defines are there.)

## How numbers are held

Floats of every precision are computed in f32 (a \`Cast\` to fewer bits rounds to them), whole numbers in i32: an int64 that does not fit is an
error, but for the ends of its range, which mean "to the end". Narrow whole numbers wrap around as their types do. Sums of products of quantised numbers are
computed in f32 and so exact up to 2²⁴.
`;

/** `docs/onnx.md`. */
export function renderOnnxPage(table: OperatorTable, results: readonly OnnxResult[], newest: number): string {
  const rows = Object.keys(table)
    .sort()
    .map((operator) => {
      const own = results.filter(({ operators }) => operators.includes(operator));
      const cell = (suite: OnnxResult['suite']): string => {
        const list = own.filter((result) => result.suite === suite);
        if (list.length === 0) return '–';
        const opsets = list.map(({ opset }) => opset);
        const [low, high] = [Math.min(...opsets), Math.max(...opsets)];
        const passed = list.filter(({ exception }) => exception === undefined).length;
        return `${passed} of ${list.length} (${low === high ? low : `${low}–${high}`})`;
      };
      return `| ${operator} | ${table[operator].since ?? 1} | ${cell('node')} | ${cell('runtime')} |`;
    });
  const exceptions = results.filter(({ exception }) => exception !== undefined);
  const listed = exceptions.map(({ name, exception }) => `- \`${name}\`: ${exception}`);
  const total = (suite: OnnxResult['suite']): string => {
    const list = results.filter((result) => result.suite === suite);
    return `${list.filter(({ exception }) => exception === undefined).length} of ${list.length}`;
  };
  return [
    HEAD.replace('NEWEST', String(newest)),
    `| operator | since | node tests (sets) | compared (sets) |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`,
    `${rows.length} operators; ${total('node')} node tests passed, ${total('runtime')} comparisons.\n`,
    `## Exceptions\n\n${listed.join('\n')}\n`,
    TAIL,
  ].join('\n');
}
