import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import picocolors from 'picocolors';
import { confusionText } from './confusion-text.js';
import { decimalNumber, parseAugment, parseInput, parseSize, wholeNumber } from './options.js';
import { pictureLines, sideBySide } from './picture-text.js';
import { clock, formatRate, ProgressLine, renderBar } from './progress.js';
import { pad, printable, type Terminal, table, terminalOf, textWidth, truncate, wantsColour } from './terminal.js';

const plain = picocolors.createColors(false);
const coloured = picocolors.createColors(true);

test('widths: colours take none, wide characters two; cutting keeps to the width', () => {
  assert.equal(textWidth(coloured.red('abc')), 3);
  assert.equal(textWidth('日本'), 4);
  assert.equal(truncate('abcdef', 4), 'abc…');
  assert.equal(truncate('abcd', 4), 'abcd');
  assert.equal(pad('日本', 6), '日本  ');
  assert.equal(pad('7', 3, 'left'), '  7');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 20 }), (text, columns) => {
      assert.ok(textWidth(truncate(printable(text), columns)) <= columns);
    }),
  );
});

test('control characters are made visible', () => {
  assert.equal(printable('a\u001b[31mb\nc\u202e'), 'a\\u001b[31mb⏎c\\u202e');
  assert.equal(printable('Grüße 花'), 'Grüße 花');
});

test('colour follows the stream, NO_COLOR and FORCE_COLOR', () => {
  const tty = { isTTY: true };
  assert.equal(wantsColour(tty, {}), true);
  assert.equal(wantsColour({}, {}), false);
  assert.equal(wantsColour(tty, { NO_COLOR: '1' }), false);
  assert.equal(wantsColour(tty, { NO_COLOR: '' }), true);
  assert.equal(wantsColour(tty, { TERM: 'dumb' }), false);
  assert.equal(wantsColour({}, { FORCE_COLOR: '1' }), true);
  assert.equal(wantsColour({}, { FORCE_COLOR: '1', NO_COLOR: '1' }), false);
});

test('a bar fits every width, and parts go from the end', () => {
  const state = { label: 'epoch 3/8', done: 62, total: 100, parts: ['loss 0.1234', 'accuracy 96.31 %', '4 s left'] };
  for (let columns = 1; columns <= 140; columns++) {
    const line = renderBar(state, { columns, colours: coloured });
    assert.ok(textWidth(line) < columns || columns === 1, `${columns}: ${textWidth(line)}`);
  }
  const line = renderBar(state, { columns: 60, colours: plain });
  assert.match(line, /^epoch 3\/8 ━+╸?─+ {2}62 % {2}loss 0\.1234 {2}accuracy 96\.31 %$/);
  assert.match(renderBar({ ...state, done: 100 }, { columns: 60, colours: plain }), /━ 100 %/);
  assert.match(renderBar({ ...state, total: 0 }, { columns: 60, colours: plain }), /0 %/);
  assert.equal(formatRate(8123.4), '8,123 img/s');
  assert.equal(formatRate(3.21), '3.2 img/s');
  assert.deepEqual([0, 24.2, 65, 3725, Number.NaN].map(clock), ['0:00', '0:25', '1:05', '1:02:05', '—']);
  // All that matters fits into 80 columns.
  const full = ['loss 0.1234', 'acc 100.00 %', '0:25/0:51 left', '8,123 img/s'];
  const usual = renderBar({ label: 'epoch 10/10', done: 1, total: 2, parts: full }, { columns: 81, colours: plain });
  assert.ok(
    full.every((part) => usual.includes(part)),
    usual,
  );
});

test('the progress line draws on terminals only, and clears before it prints', () => {
  let text = '';
  const terminal = (isTTY: boolean): Terminal =>
    terminalOf({ isTTY, columns: 40, write: (part) => (text += part) }, { NO_COLOR: '1' });
  const state = { label: 'x', done: 1, total: 2, parts: [] };
  const silent = new ProgressLine(terminal(false));
  silent.update(() => state);
  silent.clear();
  assert.equal(text, '');
  const line = new ProgressLine(terminal(true));
  line.update(() => state);
  line.update(() => assert.fail('drawn too soon'));
  line.print('done');
  const clear = '\r\u001b[2K';
  assert.ok(text.startsWith(`${clear}x ━`));
  assert.ok(text.endsWith(`50 %${clear}done\n`));
});

test('tables align, leave out and cut', () => {
  const titles = [
    { title: 'class', flexible: true },
    { title: 'n', align: 'right' as const },
    { title: 'more', optional: 1 },
  ];
  const rows = [
    ['a', '10', 'x'],
    ['a class with a long name', '7', 'y'],
  ];
  const wide = table(titles, rows, { colours: plain, longest: Number.POSITIVE_INFINITY });
  assert.equal(wide.split('\n')[1], 'a                         10  x');
  const narrow = table(titles, rows, { colours: plain, longest: 20 });
  assert.deepEqual(narrow.trim().split('\n'), ['class              n', 'a                 10', 'a class with a …   7']);
});

test('pictures in braille: dots where it is bright', () => {
  const square = (width: number, height: number, lit: (x: number, y: number) => boolean) => ({
    channels: 1 as const,
    width,
    height,
    data: Uint8Array.from({ length: width * height }, (_, p) => (lit(p % width, Math.floor(p / width)) ? 255 : 0)),
  });
  const mono = { colourBits: 0 as const };
  assert.deepEqual(
    pictureLines(
      square(4, 4, (x) => x < 2),
      10,
      mono,
    ),
    ['⣿⠀'],
  );
  assert.deepEqual(
    pictureLines(
      square(2, 4, (x, y) => x === 0 && y === 0),
      10,
      mono,
    ),
    ['⠁'],
  );
  assert.deepEqual(
    pictureLines(
      square(2, 4, (x, y) => x === 1 && y === 3),
      10,
      mono,
    ),
    ['⢀'],
  );
  // 28×28 is 14×7 characters, and larger ones shrink to what there is room for.
  const digit = pictureLines(
    square(28, 28, () => true),
    20,
    mono,
  );
  assert.deepEqual([digit.length, digit[0].length], [7, 14]);
  const large = pictureLines(
    square(128, 128, (x) => x > 64),
    16,
    mono,
  );
  assert.ok(large.every((line) => textWidth(line) <= 16));
  const colour = { channels: 3 as const, width: 1, height: 2, data: Uint8Array.from([255, 1, 0, 2, 0, 3]) };
  assert.deepEqual(pictureLines(colour, 8, { colourBits: 24 }), ['\u001b[38;2;255;0;0m\u001b[48;2;1;2;3m▀\u001b[0m']);
  assert.deepEqual(pictureLines(colour, 8, { colourBits: 8 }), ['\u001b[38;5;196m\u001b[48;5;16m▀\u001b[0m']);
  assert.deepEqual(sideBySide([['a', 'b'], ['c']], [2, 2], pad, 1), ['a  c', 'b']);
});

test('the confusion matrix, or the worst errors where it is too wide', () => {
  const wide = { colours: plain, longest: 80 };
  const lines = confusionText(
    ['cat', 'dog'],
    [
      [9, 1],
      [0, 12],
    ],
    wide,
  );
  assert.deepEqual(lines.slice(1), ['      cat dog', 'cat     9   1', 'dog     ·  12']);
  const many = Array.from({ length: 40 }, (_, i) => `class ${i}`);
  const counts = many.map((_, r) => many.map((__, c) => (r === 3 && c === 5 ? 7 : 0)));
  assert.match(confusionText(many, counts, wide)[1], /7 {2}class 3 taken for class 5/);
});

test('option values', () => {
  assert.equal(wholeNumber(1)('12'), 12);
  assert.equal(decimalNumber({ above: 0 })('1e-3'), 0.001);
  assert.equal(parseSize('64'), 64);
  assert.deepEqual(parseSize('64x48'), [64, 48]);
  assert.deepEqual(parseInput('3×32×32'), [3, 32, 32]);
  assert.deepEqual(parseAugment('shift=2, rotate=10,flip,elastic=30:4,fill=reflect'), {
    shift: 2,
    rotate: 10,
    flip: true,
    elastic: { alpha: 30, sigma: 4 },
    fill: 'reflect',
  });
  for (const text of [
    '',
    'flop',
    'shift',
    'shift=-1',
    'shift=x',
    'shift=1,shift=2',
    'elastic=3',
    'elastic=1:2:3',
    'a=b=c',
  ]) {
    assert.throws(() => parseAugment(text), /must be a list/, text);
  }
  for (const text of ['0', '-1', '1.5', '', 'x', '1e3', '99999999999999999999']) {
    assert.throws(() => wholeNumber(1)(text), /whole number/, text);
  }
  for (const text of ['', ' ', 'x', 'Infinity', 'NaN', '1', '-0.1']) {
    assert.throws(() => decimalNumber({ least: 0, below: 1 })(text), /at least 0 and below 1/, text);
  }
  for (const text of ['0', '1x2x3', '4097', '-4', 'x']) assert.throws(() => parseSize(text), /64x48/, text);
});
