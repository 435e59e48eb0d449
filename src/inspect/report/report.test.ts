import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decode } from 'fast-png';
import type { DecodedImage } from '../../data/image/decode.js';
import { Random } from '../../tensor/random.js';
import { chromium, findChromium } from '../../testing/chromium.js';
import { perClassMetrics } from '../../train/metrics.js';
import { lineChart, niceTicks } from './chart.js';
import { escapeHtml, html } from './html.js';
import { colourFilterPicture, divergingPicture, pictureUri, sequentialPicture } from './picture.js';
import { type ReportData, renderReport } from './report.js';

const random = new Random(1);

function blob(side: number): DecodedImage {
  const data = new Uint8Array(side * side);
  const [cx, cy] = [random.uniform(0.3, 0.7) * side, random.uniform(0.3, 0.7) * side];
  for (let i = 0; i < data.length; i++) {
    const distance = Math.hypot((i % side) - cx, Math.floor(i / side) - cy) / side;
    data[i] = 255 * Math.exp(-40 * (distance - 0.25) ** 2);
  }
  return { width: side, height: side, channels: 1, data };
}

function sampleData(classes: readonly string[], epochs = 8): ReportData {
  const n = classes.length;
  const confusion = classes.map((_, r) =>
    classes.map((_, c) => (r === c ? 90 + random.integer(20) : random.uniform() < 0.3 ? random.integer(6) : 0)),
  );
  const image = (i: number) => ({
    picture: blob(28),
    truth: i % n,
    predicted: (i + 3) % n,
    probability: 0.99 - 0.02 * i,
    truthProbability: 0.005 * i,
    name: n === 10 ? undefined : `${classes[i % n]}/image-${i}.png`,
  });
  return {
    model: 'lenet',
    data: 'strokes',
    created: '2025-01-05 12:00',
    version: '0.1.0',
    classes,
    epochs: Array.from({ length: epochs }, (_, i) => ({
      epoch: i + 1,
      step: (i + 1) * 188,
      loss: 0.9 * Math.exp(-i / 1.7) + 0.04 + random.uniform(0, 0.01),
      accuracy: 1 - 0.4 * Math.exp(-i / 1.5) - 0.015,
      metrics: {},
      validationLoss: 0.7 * Math.exp(-i / 1.7) + 0.07 + random.uniform(0, 0.02),
      validationAccuracy: 1 - 0.3 * Math.exp(-i / 1.5) - 0.02,
      learningRate: 0.001 * (1 - i / epochs),
      imagesPerSecond: 8000,
      seconds: 2.1,
    })),
    validatedOn: 'validation',
    test: { loss: 0.0712, accuracy: 0.9785, count: 2000 },
    trainingSeconds: 31.2,
    confusion,
    perClass: perClassMetrics(classes, confusion),
    filters: {
      layer: 'features.0',
      shape: [6, 1, 5, 5],
      pictures: Array.from({ length: 6 }, () =>
        divergingPicture(
          Array.from({ length: 25 }, () => random.normal()),
          5,
          5,
          2,
        ),
      ),
      limit: 0.31,
      colour: false,
    },
    sample: image(4),
    maps: [
      ['features.0', 6, 28],
      ['features.3', 16, 10],
    ].map(([layer, channels, side]) => ({
      layer: layer as string,
      channels: channels as number,
      height: side as number,
      width: side as number,
      maps: Array.from({ length: channels as number }, (_, channel) => ({
        channel,
        low: -1.234,
        high: 2.5,
        picture: sequentialPicture(blob(side as number).data, side as number, side as number, [0, 255]),
      })),
    })),
    mistakes: Array.from({ length: 24 }, (_, i) => image(i)),
    mistakeCount: 43,
    summary: {
      type: 'Sequential',
      inputShape: [1, 28, 28],
      outputShape: [n],
      rows: [
        ['', 'Sequential', 0, true, '', [1, 28, 28], [n], 0, 0, 0, undefined],
        ['features', 'Sequential', 1, true, '', [1, 28, 28], [16, 5, 5], 0, 0, 0, undefined],
        ['features.0', 'Conv2d', 2, false, '5×5 +2', [1, 28, 28], [6, 28, 28], 156, 117_600, 18_816, [5, 5]],
        ['features.1', 'ReLU', 2, false, '', [6, 28, 28], [6, 28, 28], 0, 0, 18_816, [5, 5]],
        ['classifier', 'Linear', 1, false, '', [400], [n], 61_326, 61_200, 40, undefined],
      ].map(
        ([name, type, depth, container, kernel, inputShape, outputShape, parameters, macs, bytes, receptiveField]) => ({
          name: name as string,
          type: type as string,
          depth: depth as number,
          container: container as boolean,
          kernel: kernel as string,
          inputShape: inputShape as number[],
          outputShape: outputShape as number[],
          parameters: parameters as number,
          multiplyAdds: macs as number,
          activationBytes: bytes as number,
          ...(receptiveField === undefined ? {} : { receptiveField: receptiveField as number[] }),
          again: false,
        }),
      ),
      totals: {
        parameters: 61_482,
        buffers: 0,
        multiplyAdds: 416_520,
        inputBytes: 3136,
        activationBytes: 52_184,
        parameterBytes: 245_928,
      },
    },
    options: [
      ['epochs', '8'],
      ['batch size', '64'],
      ['optimizer', 'adam'],
      ['learning rate', '0.001'],
    ],
    environment: [
      ['Gabor', '0.1.0'],
      ['Node', process.version],
      ['processor', 'Example CPU @ 3.0 GHz'],
    ],
  };
}

const digits = [...'0123456789'];

test('the report is one page without scripts or addresses of other files', () => {
  const page = renderReport(sampleData(digits));
  // To look at it: GABOR_REPORT_PREVIEW=/tmp/report.html
  if (process.env.GABOR_REPORT_PREVIEW) writeFileSync(process.env.GABOR_REPORT_PREVIEW, page);
  assert.ok(page.startsWith('<!doctype html>'));
  assert.doesNotMatch(page, /<script|<link|@import|https?:|url\(/i);
  for (const [, address] of page.matchAll(/(?:src|href)="([^"]*)"/g)) {
    assert.match(address, /^(data:image\/png;base64,|#)/);
  }
  for (const [, id] of page.matchAll(/href="#([^"]*)"/g)) assert.ok(page.includes(`id="${id}"`), id);
  assert.ok(page.length < 300_000, `${page.length} characters`);
  assert.match(page, /97\.85 %/);
});

test('tags are balanced', () => {
  const open: string[] = [];
  const voids = new Set(['meta', 'img', 'br', '!doctype']);
  for (const [, close, name, rest] of renderReport(sampleData(digits)).matchAll(/<(\/?)([a-z0-9!]+)([^>]*)>/gi)) {
    if (voids.has(name.toLowerCase()) || rest.endsWith('/')) continue;
    if (close === '') open.push(name);
    else assert.equal(open.pop(), name);
  }
  assert.deepEqual(open, []);
});

test('class and file names cannot become markup', () => {
  const evil = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</title></style>&amp;',
  ];
  const page = renderReport({
    ...sampleData(evil),
    model: evil[0],
    data: evil[3],
    options: [[evil[1], evil[0]]],
    environment: [['cpu', evil[1]]],
  });
  assert.doesNotMatch(page, /<script|<img src=x/);
  assert.equal(page.match(/<\/style>/g)?.length, 1);
  assert.equal(page.match(/<\/title>/g)?.length, page.match(/<title>/g)?.length);
  // No attribute that handles events came into being: inside tags, quotes are balanced and hold every name.
  for (const [tag] of page.matchAll(/<[a-z][^>]*>/gi)) {
    assert.doesNotMatch(tag.replace(/"[^"]*"/g, '""'), /\son[a-z]+\s*=/i, tag);
  }
  assert.ok(page.includes('&lt;script&gt;alert(1)&lt;/script&gt;'));
});

test('one epoch, no validation, no mistakes, NaN and many classes', () => {
  const many = Array.from({ length: 120 }, (_, i) => `class ${i}`);
  const page = renderReport({ ...sampleData(many, 1), mistakes: [], mistakeCount: 0, filters: undefined, maps: [] });
  assert.match(page, /every test image was classified correctly/);
  assert.match(page, /class="dense"/);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
  const data = sampleData(digits, 3);
  const broken = data.epochs.map(({ epoch, step, learningRate, imagesPerSecond, seconds }) => ({
    epoch,
    step,
    loss: epoch === 2 ? Number.NaN : 1 / epoch,
    accuracy: 0.1,
    metrics: {},
    learningRate,
    imagesPerSecond,
    seconds,
  }));
  assert.doesNotMatch(renderReport({ ...data, epochs: broken }), /="[^"]*(NaN|undefined)/);
});

test('html escapes what is put in, except Html', () => {
  assert.equal(
    html`<a>${'<b>'}${html`<i>${'&'}</i>`}${[1, html`<u></u>`]}${false}${undefined}</a>`.text,
    '<a>&lt;b&gt;<i>&amp;</i>1<u></u></a>',
  );
  assert.equal(escapeHtml(`&<>"'\``), '&amp;&lt;&gt;&quot;&#39;&#96;');
});

test('ticks are round and enclose the data', () => {
  assert.deepEqual(niceTicks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(niceTicks(0.93, 0.987), [0.92, 0.94, 0.96, 0.98, 1]);
  assert.deepEqual(niceTicks(0, 2300), [0, 500, 1000, 1500, 2000, 2500]);
  for (let i = 0; i < 200; i++) {
    const low = random.normal();
    const high = low + random.uniform() * 10 ** random.integer(5);
    const ticks = niceTicks(low, high);
    assert.ok(ticks.length >= 2 && ticks.length <= 8, `${low} ${high}: ${ticks}`);
    assert.ok(ticks[0] <= low + 1e-6 && ticks[ticks.length - 1] >= high - 1e-6, `${low} ${high}: ${ticks}`);
  }
  assert.ok(niceTicks(3, 3).length >= 2);
});

test('charts place values linearly', () => {
  const chart = lineChart({
    title: 't',
    x: [1, 2, 3],
    xLabel: 'epoch',
    series: [{ name: 'train', role: 'train', values: [0, 0.5, 1] }],
    format: String,
  }).text;
  const points = chart
    .match(/polyline[^>]*points="([^"]*)"/)![1]
    .split(' ')
    .map((p) => p.split(',').map(Number));
  assert.ok(Math.abs(points[1][0] - (points[0][0] + points[2][0]) / 2) < 0.1);
  assert.ok(Math.abs(points[1][1] - (points[0][1] + points[2][1]) / 2) < 0.1);
  assert.ok(points[0][1] > points[2][1]);
});

test('pictures are PNGs with the colours of their scale', () => {
  const pixels = (picture: DecodedImage) => [
    ...decode(Buffer.from(pictureUri(picture).replace(/^[^,]*,/, ''), 'base64')).data,
  ];
  assert.deepEqual(pixels(divergingPicture([-2, 0, 2], 1, 3, 2)), [5, 48, 97, 247, 247, 247, 103, 0, 31]);
  assert.deepEqual(pixels(sequentialPicture([0, 10], 1, 2, [0, 10])), [0, 0, 4, 252, 253, 191]);
  assert.deepEqual(pixels(sequentialPicture([3, 3], 1, 2, [3, 3])), [0, 0, 4, 0, 0, 4]);
  assert.deepEqual(pixels(colourFilterPicture([1, 0, -1], 1, 1, 1)), [255, 128, 0]);
});

test('a browser shows the page without complaint', async (t) => {
  const browser = findChromium();
  if (browser === undefined) {
    t.skip('there is no Chromium here');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'gabor-report-'));
  try {
    const page = join(folder, 'report.html');
    const picture = join(folder, 'page.png');
    writeFileSync(page, renderReport(sampleData([...'0123456789'])));
    const { stdout, stderr } = await chromium(browser, [
      '--dump-dom',
      `--screenshot=${picture}`,
      '--window-size=1000,2400',
      `file://${page}`,
    ]);
    assert.doesNotMatch(stderr, /CONSOLE|Refused|Content Security Policy/);
    assert.match(stdout, /<h1>lenet on strokes<\/h1>/);
    const { width, height, data, channels } = decode(readFileSync(picture));
    assert.deepEqual([width, height], [1000, 2400]);
    const colours = new Set<number>();
    for (let i = 0; i < data.length; i += channels) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    assert.ok(colours.size > 100, `only ${colours.size} colours`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
