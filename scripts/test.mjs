// Runs the compiled tests with Node's own runner; `node scripts/test.mjs [part of a path …]` picks files. A run of all tests
// also compares docs/support.md with what they prove, and `--support` writes it.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { checkSupport, proves } from './support.mjs';

const root = resolve(process.env.GABOR_BUILD ?? fileURLToPath(new URL('../dist', import.meta.url)));
const write = process.argv.includes('--support');
const wanted = process.argv.slice(2).filter((argument) => argument !== '--support');
const files = readdirSync(root, { recursive: true })
  .filter((file) => file.endsWith('.test.js') && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .filter((file) => !write || proves(`${root}/${file}`))
  .map((file) => `${root}/${file}`)
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(', ')}`);
  process.exit(1);
}
// With other runs of random cases than the usual ones other things are proven.
const usual = process.env.GABOR_RUNS === undefined;
const proofs = write || (wanted.length === 0 && usual) ? mkdtempSync(`${tmpdir()}/gabor-support-`) : undefined;
if (proofs !== undefined) process.env.GABOR_SUPPORT = proofs;
// A file that hangs fails after five minutes instead of holding up everything.
run({ files, concurrency: 2, timeout: 300_000 })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(spec)
  .on('end', async () => {
    if (proofs === undefined) return;
    // After a failure there are results missing anyway.
    if (process.exitCode === undefined && !(await checkSupport(pathToFileURL(root), proofs, write)))
      process.exitCode = 1;
    rmSync(proofs, { recursive: true });
  })
  .pipe(process.stdout);
