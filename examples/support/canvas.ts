import type { DecodedImage } from 'gabor';

export type Colour = readonly [red: number, green: number, blue: number];

/** Capital letters, digits and signs of 5×7 pixels: seven rows from top to bottom, five bits each, the left pixel first. */
const FONT: Readonly<Record<string, readonly number[]>> = {
  A: [14, 17, 17, 31, 17, 17, 17],
  B: [30, 17, 17, 30, 17, 17, 30],
  C: [14, 17, 16, 16, 16, 17, 14],
  D: [30, 17, 17, 17, 17, 17, 30],
  E: [31, 16, 16, 30, 16, 16, 31],
  F: [31, 16, 16, 30, 16, 16, 16],
  G: [14, 17, 16, 23, 17, 17, 15],
  H: [17, 17, 17, 31, 17, 17, 17],
  I: [14, 4, 4, 4, 4, 4, 14],
  J: [7, 2, 2, 2, 2, 18, 12],
  K: [17, 18, 20, 24, 20, 18, 17],
  L: [16, 16, 16, 16, 16, 16, 31],
  M: [17, 27, 21, 21, 17, 17, 17],
  N: [17, 25, 21, 19, 17, 17, 17],
  O: [14, 17, 17, 17, 17, 17, 14],
  P: [30, 17, 17, 30, 16, 16, 16],
  Q: [14, 17, 17, 17, 21, 18, 13],
  R: [30, 17, 17, 30, 20, 18, 17],
  S: [15, 16, 16, 14, 1, 1, 30],
  T: [31, 4, 4, 4, 4, 4, 4],
  U: [17, 17, 17, 17, 17, 17, 14],
  V: [17, 17, 17, 17, 17, 10, 4],
  W: [17, 17, 17, 21, 21, 27, 17],
  X: [17, 17, 10, 4, 10, 17, 17],
  Y: [17, 17, 10, 4, 4, 4, 4],
  Z: [31, 1, 2, 4, 8, 16, 31],
  '0': [14, 17, 19, 21, 25, 17, 14],
  '1': [4, 12, 4, 4, 4, 4, 14],
  '2': [14, 17, 1, 6, 8, 16, 31],
  '3': [30, 1, 1, 14, 1, 1, 30],
  '4': [2, 6, 10, 18, 31, 2, 2],
  '5': [31, 16, 30, 1, 1, 17, 14],
  '6': [6, 8, 16, 30, 17, 17, 14],
  '7': [31, 1, 2, 4, 8, 8, 8],
  '8': [14, 17, 17, 14, 17, 17, 14],
  '9': [14, 17, 17, 15, 1, 2, 12],
  '%': [25, 26, 2, 4, 8, 11, 19],
  '.': [0, 0, 0, 0, 0, 12, 12],
};
const SCALE = 2;

/** A white picture in colour to draw on; what lies outside is cut off. */
export class Canvas implements DecodedImage {
  readonly channels = 3;
  readonly data: Uint8Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8Array(width * height * 3).fill(255);
  }

  set(x: number, y: number, colour: Colour): void {
    if (x >= 0 && y >= 0 && x < this.width && y < this.height) this.data.set(colour, 3 * (y * this.width + x));
  }

  rectangle(left: number, top: number, width: number, height: number, colour: Colour): void {
    for (let y = top; y < top + height; y++) for (let x = left; x < left + width; x++) this.set(x, y, colour);
  }

  /** A picture in grey or colour. */
  draw({ width, height, channels, data }: DecodedImage, left: number, top: number): void {
    for (let p = 0; p < width * height; p++) {
      const [red, green, blue] = channels === 3 ? data.subarray(3 * p, 3 * p + 3) : [data[p], data[p], data[p]];
      this.set(left + (p % width), top + Math.floor(p / width), [red, green, blue]);
    }
  }

  /** Letters of 10×14 pixels; those that are not known are left out. */
  text(text: string, left: number, top: number, colour: Colour = [40, 40, 40]): void {
    [...text.toUpperCase()].forEach((letter, i) => {
      (FONT[letter] ?? []).forEach((row, y) => {
        for (let x = 0; x < 5; x++) {
          const at = left + SCALE * (6 * i + x);
          if ((row >> (4 - x)) & 1) this.rectangle(at, top + SCALE * y, SCALE, SCALE, colour);
        }
      });
    });
  }
}
