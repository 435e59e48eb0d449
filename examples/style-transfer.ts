// Paints a photo in the manner of a painting: one pass through a network that was trained for this one style (Johnson et al., "Perceptual losses for real-time
// style transfer and super-resolution", 2016), trained by others and read from a file.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  compile,
  decodeImage,
  encodePng,
  load,
  pad,
  preprocessImage,
  resizeImage,
  slice,
  type Tensor,
  tensor,
  toChannels,
} from 'gabor';
import { givenArguments } from './support/arguments.js';

const LONGEST = 720; // pixels of the longer side, where the network takes any size
const STEP = 4; // the network halves the picture twice and doubles it again

// 1. The network, and the size that it takes: its own, or the photo's.
const [file, photo] = givenArguments(
  ['MODEL', 'PHOTO'],
  'MODEL is a file (or an address, https://… or hf://…) of fast neural style, planes of red, green and blue from 0 to 255 in and out, for example candy-9.onnx or mosaic-9.onnx in ' +
    'validated/vision/style_transfer of github.com/onnx/models; PHOTO a JPEG or PNG file.',
);
const { model, inputs } = await load(file);
const image = toChannels(decodeImage(readFileSync(photo), photo), 3);
const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
const extent = (declared: unknown, own: number): number =>
  typeof declared === 'number' ? declared : Math.max(STEP, STEP * Math.round((own * scale) / STEP));
const [, , rows, columns] = inputs[0].shape ?? [];
const [height, width] = [extent(rows, image.height), extent(columns, image.width)];

// 2. The picture as three planes, through the network, and back. At its edges the network sees what is not there, so the picture goes on as in a
// mirror for a while, which is cut off again, unless the size is fixed.
const margin = typeof rows === 'number' || typeof columns === 'number' ? 0 : 4 * STEP;
const around = [0, 0, margin, margin];
const paint = compile((x: Tensor) =>
  slice(model.call(pad(x, around, around, 'reflect')), around, [1, 3, height, width]),
);
const planes = preprocessImage(image, { channels: 3, height, width, fit: 'stretch' });
const began = performance.now();
using painted = await paint(tensor(Float32Array.from(planes), { shape: [1, 3, height, width] }));
const values = painted.data();
console.log(`${width}×${height} pixels in ${Math.round(performance.now() - began)} ms, with compiling`);
const plane = height * width;
const data = Uint8Array.from({ length: 3 * plane }, (_, i) => {
  const value = values[(i % 3) * plane + Math.floor(i / 3)];
  return Math.min(255, Math.max(0, Math.round(value)));
});

// 3. Back to the photo's proportions.
mkdirSync('runs', { recursive: true });
const size = [Math.round(image.width * scale), Math.round(image.height * scale)] as const;
writeFileSync('runs/style-transfer.png', encodePng(resizeImage({ width, height, channels: 3, data }, ...size)));
console.log('runs/style-transfer.png: the photo as the network paints it');
