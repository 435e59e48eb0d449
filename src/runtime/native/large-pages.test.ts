import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wasm } from '../webassembly.js';
import { reportsFreePages } from './large-pages.js';
import { nativeLibrary } from './library.js';
import { addressOf } from './program.js';

const library = nativeLibrary();

test('balloons that report free pages are told by the sixth of their features', () => {
  assert.equal(reportsFreePages(`01100101${'0'.repeat(120)}`), true);
  assert.equal(reportsFreePages(`01100001${'0'.repeat(120)}`), false);
  assert.equal(reportsFreePages(''), false);
});

test('pages that are put together hold what they held, while others write to them', {
  skip: typeof library === 'string' ? library : false,
}, async () => {
  assert.ok(typeof library !== 'string');
  const memory = new wasm.Memory({ initial: 256, maximum: 512, shared: true });
  const words = new Int32Array(memory.buffer);
  words.forEach((_, i) => {
    words[i] = i;
  });
  let done = false;
  const joined = new Promise<void>((resolve) => {
    // More than there is: the rest cannot be joined, which is no error.
    library.joinPages(addressOf(memory, library), 512 * 65536, () => {
      done = true;
      resolve();
    });
  });
  let added = 0;
  while (!done) {
    added++;
    for (let i = 0; i < words.length; i += 1024) words[i]++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await joined;
  words.forEach((word, i) => {
    if (word !== i + (i % 1024 === 0 ? added : 0)) assert.fail(`word ${i} is ${word} after ${added} additions`);
  });
});
