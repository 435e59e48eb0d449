import { pad, type Terminal, textWidth, truncate } from './terminal.js';

/** The confusion matrix as text, or where the terminal is too narrow for it the most frequent errors. */
export function confusionText(
  classes: readonly string[],
  confusion: readonly (readonly number[])[],
  { colours, longest }: Pick<Terminal, 'colours' | 'longest'>,
): string[] {
  const cell = Math.max(3, String(Math.max(...confusion.flat())).length) + 1;
  const name = Math.min(16, Math.max(...classes.map(textWidth)));
  if (name + 2 + cell * classes.length > longest) return frequentErrors(classes, confusion, colours);
  const head = classes.map((text) => pad(truncate(text, cell - 1), cell, 'left')).join('');
  return [
    colours.dim(`confusion matrix: a row per true class, a column per prediction`),
    `${' '.repeat(name + 2)}${colours.dim(head)}`,
    ...confusion.map((row, r) => {
      const cells = row.map((count, c) => {
        const text = pad(count === 0 ? '·' : String(count), cell, 'left');
        return count === 0 ? colours.dim(text) : r === c ? colours.green(text) : colours.red(text);
      });
      return `${pad(truncate(classes[r], name), name)}  ${cells.join('')}`;
    }),
  ];
}

function frequentErrors(
  classes: readonly string[],
  confusion: readonly (readonly number[])[],
  colours: Terminal['colours'],
): string[] {
  const errors = confusion
    .flatMap((row, r) => row.map((count, c) => ({ count, r, c })))
    .filter(({ count, r, c }) => r !== c && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, 10);
  if (errors.length === 0) return [];
  return [
    colours.dim('most frequent errors (the confusion matrix is wider than this terminal; --json has it)'),
    ...errors.map(({ count, r, c }) => `${pad(String(count), 6, 'left')}  ${classes[r]} taken for ${classes[c]}`),
  ];
}
