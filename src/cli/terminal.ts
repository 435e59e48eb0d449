import getWidth from 'fast-string-truncated-width';
import picocolors from 'picocolors';

type Colours = ReturnType<typeof picocolors.createColors>;

export type ColourBits = 0 | 8 | 24;

/** A stream to write to, and what is known about who reads it. */
export interface Terminal {
  readonly isTty: boolean;
  readonly colours: Colours;
  /** Bits of colour for pictures: 24, 8, or 0 where there are fewer. */
  readonly colourBits: ColourBits;
  /** Columns; 80 where it is not a terminal. */
  readonly columns: number;
  /** The longest line that makes sense; Infinity where it is not a terminal. */
  readonly longest: number;
  write(text: string): void;
}

/** Colours are on for terminals, unless NO_COLOR says otherwise (https://no-color.org); FORCE_COLOR turns them on anywhere. */
export function wantsColour(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean {
  if (environment.NO_COLOR) return false;
  if (environment.FORCE_COLOR && environment.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && environment.TERM !== 'dumb';
}

/** `process.stdout` fits. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  getColorDepth?(environment?: NodeJS.ProcessEnv): number;
  write(text: string): unknown;
}

function colourBits(stream: TextStream, environment: NodeJS.ProcessEnv): ColourBits {
  const depth = stream.getColorDepth?.(environment) ?? 0;
  return depth >= 24 ? 24 : depth >= 8 ? 8 : 0;
}

export function terminalOf(stream: TextStream, environment: NodeJS.ProcessEnv = process.env): Terminal {
  const colour = wantsColour(stream, environment);
  return {
    isTty: stream.isTTY === true && environment.TERM !== 'dumb',
    colours: picocolors.createColors(colour),
    colourBits: colour ? colourBits(stream, environment) : 0,
    get columns() {
      return stream.columns || Number(environment.COLUMNS) || 80;
    },
    get longest() {
      return stream.columns || Number(environment.COLUMNS) || Number.POSITIVE_INFINITY;
    },
    write(text) {
      stream.write(text);
    },
  };
}

/** Columns that a text takes; colour codes take none, wide characters two. */
export function textWidth(text: string): number {
  return getWidth(text).width;
}

/** At most `columns` columns, with … where something was cut off. Keeps colour codes of the kept part. */
export function truncate(text: string, columns: number): string {
  const { index, ellipsed, truncated } = getWidth(text, { limit: columns, ellipsis: '…' });
  if (!truncated) return text;
  let kept = text.slice(0, index);
  const end = ellipsed && columns > 0 ? '…' : '';
  // The library takes some rare characters for narrower where it cuts than where it measures.
  while (kept !== '' && textWidth(kept + end) > columns) kept = [...kept].slice(0, -1).join('');
  // Codes that end colours may lie behind the cut.
  return `${kept}${end}${text.includes('\x1b[') ? '\x1b[0m' : ''}`;
}

/** Filled up with spaces to `columns`. */
export function pad(text: string, columns: number, side: 'left' | 'right' = 'right'): string {
  const fill = ' '.repeat(Math.max(0, columns - textWidth(text)));
  return side === 'right' ? text + fill : fill + text;
}

/** Control characters shown as escapes, so that names of files and classes cannot steer the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) =>
    character === '\n' ? '⏎' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Cells may be cut to make the table fit. */
  readonly flexible?: boolean;
  /** Left out where the table does not fit; the largest number first. */
  readonly optional?: number;
}

const GAP = 2;

/** Rows with aligned columns under their titles, made to fit the terminal: optional columns go first, then flexible ones are cut. */
export function table(
  titles: readonly Column[],
  rows: readonly (readonly string[])[],
  { colours, longest }: Pick<Terminal, 'colours' | 'longest'>,
): string {
  const widths = titles.map((column, c) => Math.max(textWidth(column.title), ...rows.map((row) => textWidth(row[c]))));
  let shown = titles.map((_, c) => c);
  const total = (): number => shown.reduce((sum, c) => sum + widths[c] + GAP, -GAP);
  const optional = shown.filter((c) => titles[c].optional !== undefined);
  optional.sort((a, b) => titles[b].optional! - titles[a].optional!);
  for (const c of optional) {
    if (total() > longest) shown = shown.filter((other) => other !== c);
  }
  for (const c of shown.filter((column) => titles[column].flexible)) {
    widths[c] = Math.max(Math.min(widths[c], 12), widths[c] - Math.max(0, total() - longest));
  }
  const line = (cells: readonly string[]): string =>
    shown
      .map((c) => pad(truncate(cells[c], widths[c]), widths[c], titles[c].align === 'right' ? 'left' : 'right'))
      .join(' '.repeat(GAP))
      .trimEnd();
  return [colours.dim(line(titles.map((column) => column.title))), ...rows.map(line)]
    .map((text) => `${text}\n`)
    .join('');
}
