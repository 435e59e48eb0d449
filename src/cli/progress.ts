import { formatCount } from '../inspect/format.js';
import { type Terminal, textWidth, truncate } from './terminal.js';

/** What stands beside the bar; the last parts go first where the terminal is narrow. */
export interface BarState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly parts: readonly string[];
}

const FRAME_MS = 80;
const SHORTEST_BAR = 6;
const LONGEST_BAR = 32;

/** `epoch 2/8 ━━━━━━━━╸─────  46 %  loss 0.1312  …` in at most `columns` columns. */
export function renderBar(
  { label, done, total, parts }: BarState,
  { columns, colours }: Pick<Terminal, 'columns' | 'colours'>,
): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const percent = `${String(Math.floor(100 * share)).padStart(3)} %`;
  const room = columns - 1; // the last column would wrap on some terminals
  const kept = [...parts];
  const widthOf = (bar: number): number =>
    textWidth(label) + 1 + bar + 1 + percent.length + kept.reduce((sum, part) => sum + 2 + textWidth(part), 0);
  while (kept.length > 0 && widthOf(SHORTEST_BAR) > room) kept.pop();
  const length = Math.max(0, Math.min(LONGEST_BAR, room - widthOf(0)));
  const halves = Math.round(share * length * 2);
  const full = '━'.repeat(halves >> 1) + (halves % 2 === 1 ? '╸' : '');
  const rest = '─'.repeat(Math.max(0, length - full.length));
  const line = [`${label} ${colours.cyan(full)}${colours.dim(rest)} ${percent}`, ...kept].join('  ');
  return truncate(line, room);
}

/** One line at the bottom of a terminal that is drawn again and again; lines printed through it scroll above. Elsewhere it draws nothing. */
export class ProgressLine {
  readonly #terminal: Terminal;
  #drawn = false;
  #last = Number.NEGATIVE_INFINITY;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Draws the bar, unless it was drawn a moment ago. */
  update(state: () => BarState): void {
    if (!this.#terminal.isTty) return;
    const now = performance.now();
    if (now - this.#last < FRAME_MS) return;
    this.#last = now;
    this.#terminal.write(`\r\x1b[2K${renderBar(state(), this.#terminal)}`);
    this.#drawn = true;
  }

  /** Takes the bar away. */
  clear(): void {
    if (this.#drawn) this.#terminal.write('\r\x1b[2K');
    this.#drawn = false;
    this.#last = Number.NEGATIVE_INFINITY;
  }

  /** Prints whole lines above the bar. */
  print(text: string): void {
    this.clear();
    this.#terminal.write(`${text}\n`);
  }
}

/** `8,123 img/s` */
export function formatRate(imagesPerSecond: number): string {
  const rate = imagesPerSecond >= 99.5 ? formatCount(imagesPerSecond) : imagesPerSecond.toPrecision(2);
  return Number.isFinite(imagesPerSecond) ? `${rate} img/s` : '';
}

/** `0:25`, `12:05`, `1:02:05` */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '—';
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return whole < 3600
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

export function lossText(loss: number): string {
  return `loss ${loss.toFixed(4)}`;
}
