// Says of every pixel of a photo what it belongs to: person, dog, bus, … The network is DeepLab v3 on MobileNet v2 (Chen et al., "Rethinking atrous convolution
// for semantic image segmentation", 2017; Sandler et al., 2018), trained by others and read from a file.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  argmax,
  compile,
  decodeImage,
  encodePng,
  load,
  OptionError,
  resizeImage,
  type Tensor,
  tensor,
  toChannels,
} from 'gabor';
import { givenArguments } from './support/arguments.js';
import { Canvas, type Colour } from './support/canvas.js';

/** The classes of Pascal VOC, in the order of the network's outputs. */
const CLASSES = (
  'background aeroplane bicycle bird boat bottle bus car cat chair cow table dog horse motorbike person ' +
  'plant sheep sofa train screen'
).split(' ');
const LEGEND = 250; // pixels
const LINE = 26;

/** Colours that differ as much as they can: the bits of a class's number go to the high bits of red, green and blue in turn (as Pascal VOC has them). */
const COLOURS = CLASSES.map((_, index): Colour => {
  const channel = (first: number): number =>
    [0, 1, 2].reduce((sum, step) => sum | (((index >> (3 * step + first)) & 1) << (7 - step)), 0);
  return [channel(0), channel(1), channel(2)];
});

// 1. The network, which takes pictures of one size, a pixel's colours side by side, from −1 to 1.
const [file, photo] = givenArguments(
  ['MODEL', 'PHOTO'],
  'MODEL is a file (or an address, https://… or hf://…) of DeepLab v3 with MobileNet v2 for Pascal VOC, for example deeplabv3_mnv2_pascal_train_aug of ' +
    'github.com/tensorflow/models, converted to ONNX by tf2onnx; PHOTO a JPEG or PNG file.',
);
const { model, inputs } = await load(file);
const [batch, height, width, colours] = inputs[0].shape ?? [];
if (batch !== 1 || typeof height !== 'number' || typeof width !== 'number' || colours !== 3) {
  throw new OptionError(`${file}: its input is [${inputs[0].shape}], expected [1, height, width, 3]`);
}

// 2. The picture as the network wants it: made to fit, the rest filled with the middle grey.
const image = toChannels(decodeImage(readFileSync(photo), photo), 3);
const scale = Math.min(width / image.width, height / image.height);
const small = resizeImage(image, Math.round(image.width * scale), Math.round(image.height * scale));
const pixels = new Float32Array(height * width * 3);
for (let y = 0; y < small.height; y++) {
  const row = small.data.subarray(3 * y * small.width, 3 * (y + 1) * small.width);
  pixels.set(
    Float32Array.from(row, (value) => value / 127.5 - 1),
    3 * y * width,
  );
}

// 3. One program: the scores of all classes for every pixel, and the best of them.
const classify = compile((x: Tensor) => argmax(model.call(x), 3));
const x = tensor(pixels, { shape: [1, height, width, 3] });
const began = performance.now();
(await classify(x)).dispose();
const compiled = performance.now();
using map = await classify(x);
const [once, again] = [compiled - began, performance.now() - compiled].map(Math.round);
console.log(`${width}×${height} pixels in ${again} ms; ${once} ms the first time, with compiling`);
const classes = map.data();

// 4. What was found, and the picture: every pixel half in the colour of its class, edges between classes in white.
const at = (px: number, py: number): number =>
  classes[
    Math.min(small.height - 1, Math.floor(py * scale)) * width + Math.min(small.width - 1, Math.floor(px * scale))
  ];
const counts = CLASSES.map(() => 0);
const canvas = new Canvas(image.width + LEGEND, Math.max(image.height, LINE * 8));
canvas.draw(image, 0, 0);
for (let py = 0; py < image.height; py++) {
  for (let px = 0; px < image.width; px++) {
    const index = at(px, py);
    counts[index]++;
    const edge = (px > 0 && at(px - 1, py) !== index) || (py > 0 && at(px, py - 1) !== index);
    const p = 3 * (py * image.width + px);
    const mix = (c: number): number => Math.round(0.45 * image.data[p + c] + 0.55 * COLOURS[index][c]);
    if (edge) canvas.set(px, py, [255, 255, 255]);
    else if (index > 0) canvas.set(px, py, [mix(0), mix(1), mix(2)]);
  }
}
const found = CLASSES.map((name, index) => ({ name, index, share: counts[index] / (image.width * image.height) }))
  .filter(({ share }) => share >= 0.001)
  .sort((a, b) => b.share - a.share);
found.forEach(({ name, index, share }, i) => {
  const percent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  canvas.rectangle(image.width + 12, 8 + LINE * i, 18, 18, COLOURS[index]);
  canvas.text(`${name} ${percent}`, image.width + 38, 10 + LINE * i);
  console.log(`${name}: ${percent}`);
});
mkdirSync('runs', { recursive: true });
writeFileSync('runs/segmentation.png', encodePng(canvas));
console.log('runs/segmentation.png: the photo, coloured by class');
