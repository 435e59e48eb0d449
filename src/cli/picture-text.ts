import type { ColourBits, Terminal } from './terminal.js';

/** Bytes [channels, height, width], 0 … 255, as data sets hold them. */
export interface Planes {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array;
}

/** Bits of the dots of a braille character (Unicode 2800), [row][column]. */
const DOTS: readonly (readonly number[])[] = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
];

/** Thresholds of ordered dithering (Bayer, 1973), in sixteenths. */
const BAYER: readonly (readonly number[])[] = [
  [0, 8, 2, 10],
  [12, 4, 14, 6],
  [3, 11, 1, 9],
  [15, 7, 13, 5],
];

/**
 * A picture as lines of text: grey ones in braille dots (2×4 pixels a character), colour ones in half blocks (1×2 pixels a character)
 * where the terminal has the colours, else in braille. Never wider than `columns` characters.
 */
export function pictureLines(planes: Planes, columns: number, { colourBits }: Pick<Terminal, 'colourBits'>): string[] {
  const blocks = planes.channels === 3 && colourBits > 0;
  const dots = blocks ? 1 : 2;
  const factor = Math.max(1, Math.ceil(planes.width / (columns * dots)));
  const small = shrink(planes, factor);
  return blocks ? halfBlocks(small, colourBits) : braille(small);
}

function shrink(planes: Planes, factor: number): Planes {
  if (factor === 1) return planes;
  const { channels } = planes;
  const width = Math.max(1, Math.floor(planes.width / factor));
  const height = Math.max(1, Math.floor(planes.height / factor));
  const data = new Uint8Array(channels * width * height);
  for (let c = 0, to = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let v = 0; v < factor; v++) {
          for (let u = 0; u < factor; u++) {
            sum += planes.data[(c * planes.height + y * factor + v) * planes.width + x * factor + u];
          }
        }
        data[to++] = Math.round(sum / factor ** 2);
      }
    }
  }
  return { channels, height, width, data };
}

function luma({ channels, height, width, data }: Planes, y: number, x: number): number {
  const plane = height * width;
  const at = y * width + x;
  return channels === 1 ? data[at] : 0.299 * data[at] + 0.587 * data[plane + at] + 0.114 * data[2 * plane + at];
}

function braille(planes: Planes): string[] {
  const { height, width } = planes;
  let low = 255;
  let high = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = luma(planes, y, x);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const lines: string[] = [];
  for (let top = 0; top < height; top += 4) {
    let line = '';
    for (let left = 0; left < width; left += 2) {
      let bits = 0;
      for (let y = top; y < Math.min(top + 4, height); y++) {
        for (let x = left; x < Math.min(left + 2, width); x++) {
          const share = high > low ? (luma(planes, y, x) - low) / (high - low) : luma(planes, y, x) / 255;
          if (share > (BAYER[y % 4][x % 4] + 2.5) / 18) bits |= DOTS[y - top][x - left];
        }
      }
      line += String.fromCodePoint(0x2800 + bits);
    }
    lines.push(line);
  }
  return lines;
}

function halfBlocks({ height, width, data }: Planes, bits: ColourBits): string[] {
  const plane = height * width;
  const colour = (y: number, x: number): string => {
    const rgb = [0, 1, 2].map((c) => (y < height ? data[c * plane + y * width + x] : 0));
    if (bits === 24) return `2;${rgb.join(';')}`;
    // The cube of 6×6×6 colours among the 256.
    const [r, g, b] = rgb.map((value) => Math.round(value / 51));
    return `5;${16 + 36 * r + 6 * g + b}`;
  };
  const lines: string[] = [];
  for (let y = 0; y < height; y += 2) {
    let line = '';
    for (let x = 0; x < width; x++) line += `\x1b[38;${colour(y, x)}m\x1b[48;${colour(y + 1, x)}m▀`;
    lines.push(`${line}\x1b[0m`);
  }
  return lines;
}

/** Blocks of lines side by side, `gap` columns apart; `widths` are the blocks' widths in columns. */
export function sideBySide(
  blocks: readonly (readonly string[])[],
  widths: readonly number[],
  fill: (text: string, columns: number) => string,
  gap = 2,
): string[] {
  const rows = Math.max(0, ...blocks.map((block) => block.length));
  return Array.from({ length: rows }, (_, row) =>
    blocks
      .map((block, i) => fill(block[row] ?? '', widths[i]))
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}
