// Bundles what tsc compiled into a few files, so that a program loads 20 modules instead of 250 (docs/decisions/startup.md).
// Every entry of package.json and every worker becomes a file of BUILD/bundle; what they share is in chunks beside them, so
// that there is one copy of every class.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(process.env.GABOR_BUILD ?? fileURLToPath(new URL('../dist', import.meta.url)));
const out = join(root, 'bundle');
const { exports, bin } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const entries = new Map();
const enter = (name, file) => {
  if ((entries.get(name) ?? file) !== file) throw new Error(`bundle: two entries are named ${name}`);
  entries.set(name, file);
};
enter(basename(bin.gabor, '.js'), 'cli/main.js');
for (const { types, default: file } of Object.values(exports)) {
  if (!/^\.\/dist\/bundle\/[\w-]+\.js$/.test(file)) throw new Error(`package.json: ${file} is not in dist/bundle`);
  enter(basename(file, '.js'), types.replace('./dist/', '').replace(/\.d\.ts$/, '.js'));
}
// Files beside a module that it names by a URL: all files of the bundle lie in one folder, so that such names stay right.
const BESIDE = /new URL\((['"])\.\/([\w-]+)\.js\1, import\.meta\.url\)/g;
const modules = readdirSync(root, { recursive: true })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.js') && !/\.test\.js$|^testing\/|^bundle\//.test(file));
for (const file of modules) {
  for (const [, , name] of readFileSync(join(root, file), 'utf8').matchAll(BESIDE)) {
    const worker = join(dirname(file), `${name}.js`);
    if (existsSync(join(root, worker))) enter(name, worker);
  }
}

rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: Object.fromEntries([...entries].map(([name, file]) => [name, join(root, file)])),
  outdir: out,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
});
for (const file of readdirSync(out).filter((name) => name.endsWith('.js'))) {
  for (const [, , name] of readFileSync(join(out, file), 'utf8').matchAll(BESIDE)) {
    if (!existsSync(join(out, `${name}.js`))) throw new Error(`bundle: ${file} names ${name}.js, which is missing`);
  }
}
