import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import * as library from './index.js';

/** The project's README, seen from the compiled tests, or undefined. */
function findReadme(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, 'README.md');
    if (existsSync(path)) return path;
  }
  return undefined;
}

function examples(t: TestContext): string[] {
  const readme = findReadme();
  if (readme === undefined) {
    t.skip('there is no README here');
    return [];
  }
  return [...readFileSync(readme, 'utf8').matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1]);
}

test('everything that the README imports is exported', (t) => {
  for (const example of examples(t)) {
    const [, names] = /import \{(.*?)\} from 'gabor'/s.exec(example) as RegExpExecArray;
    for (const name of names.split(',').map((part) => part.trim())) {
      assert.ok(name === '' || name in library, `the README imports ${name}, which is not exported`);
    }
  }
});

/** What an example prints, run as a program against this build. */
async function output(example: string): Promise<string> {
  const folder = mkdtempSync(join(dirname(fileURLToPath(import.meta.url)), 'readme-'));
  try {
    const script = join(folder, 'example.mjs');
    const entry = (path: string): string => pathToFileURL(fileURLToPath(new URL(path, import.meta.url))).href;
    const source = example
      .replace("'gabor/keras'", `'${entry('keras/index.js')}'`)
      .replace("'gabor'", `'${entry('index.js')}'`);
    writeFileSync(script, source);
    return (await promisify(execFile)(process.execPath, [script])).stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the README’s lower-level example does what its comments say', async (t) => {
  const [, example] = examples(t);
  if (example === undefined) return;
  const stdout = await output(example);
  const numbers = [...stdout.replace(/\(\d+\)/g, '').matchAll(/-?\d+(\.\d+)?/g)].map(([text]) => Number(text));
  // (The 32 of Float32Array is among them.)
  const values = numbers.filter((n) => n !== 32);
  const expected = [14 / 3, 2 / 3, 4 / 3, 2, 1, -2, 3];
  assert.equal(values.length, expected.length, stdout);
  values.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]) < 0.01, stdout);
  });
});

test('the README’s program for users of Keras does what it says', async (t) => {
  const example = examples(t).find((text) => text.includes('gabor/keras'));
  if (example === undefined) return;
  const stdout = await output(example);
  assert.match(stdout, /conv2d \(Conv2D\) +\[null, 24, 24, 8\] +208\n/);
  const accuracies = JSON.parse((/\[[\d\s.,]+\]\s*$/.exec(stdout) as RegExpExecArray)[0]) as number[];
  assert.equal(accuracies.length, 5);
  // 0.94 here; other machines round differently.
  assert.ok(accuracies[4] > 0.88, stdout);
});
