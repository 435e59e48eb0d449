import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The pipeline: a folder imports from itself and from folders before it. */
const ORDER = [
  'tensor',
  'kernel',
  'graph',
  'ops',
  'autodiff',
  'compiler',
  'targets',
  'runtime',
  'nn',
  'optim',
  'data',
  'train',
  'models',
  'formats',
  'inspect',
  'keras',
  'exchange',
  'cli',
];

/** Folders that import less than their place allows. */
const ONLY: Readonly<Record<string, readonly string[]>> = { data: ['tensor', 'data'] };

/** Imports of every source file: path to paths, relative to the source folder. */
type Imports = ReadonlyMap<string, readonly string[]>;

/** The folder `src` of the checkout that these compiled tests come from, wherever they were compiled to. */
function sourceFolder(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'src/index.ts')))
      return join(folder, 'src');
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}

/** Specifiers of static and dynamic imports, types included: they tie files together just the same. */
function specifiers(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const patterns = [
    /^\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1]));
}

function readImports(src: string): Imports {
  const files = (readdirSync(src, { recursive: true }) as string[])
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .sort();
  return new Map(
    files.map((file) => {
      const inside = specifiers(readFileSync(join(src, file), 'utf8')).filter((specifier) => specifier.startsWith('.'));
      return [file, inside.map((specifier) => relativeTo(src, join(src, dirname(file), specifier)))];
    }),
  );
}

function relativeTo(src: string, path: string): string {
  return resolve(path)
    .slice(resolve(src).length + 1)
    .replaceAll('\\', '/')
    .replace(/\.js$/, '.ts');
}

/** `ops` of `ops/reduce.ts`; the file itself at the top. */
const folderOf = (file: string): string => file.split('/')[0];

const isFree = (file: string): boolean =>
  file.endsWith('.test.ts') || folderOf(file) === 'testing' || file === 'index.ts';

/** What breaks the order of the folders, as sentences. */
function violations(imports: Imports): string[] {
  const found: string[] = [];
  for (const [file, targets] of imports) {
    if (isFree(file)) continue;
    const folder = folderOf(file);
    const place = ORDER.indexOf(folder);
    if (place < 0) {
      found.push(`${file}: the folder "${folder}" has no place in the order`);
      continue;
    }
    for (const target of targets) {
      const allowed = ONLY[folder] ?? ORDER.slice(0, place + 1);
      if (!allowed.includes(folderOf(target))) {
        found.push(`${file} imports ${target}: ${folder} may import ${allowed.join(', ')} only`);
      }
    }
  }
  return found;
}

/** Every import of a file that is not there. */
function missing(imports: Imports): string[] {
  return [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => !imports.has(target)).map((target) => `${file} imports ${target}, which does not exist`),
  );
}

/** Cycles among files, each as `a.ts → b.ts → a.ts`: one for every import that closes a circle in a depth-first walk. */
function cycles(imports: Imports): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      found.push([...path.slice(at), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of imports.get(file) ?? []) walk(target);
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) walk(file);
  return found;
}

const src = sourceFolder();
const skip = src === undefined ? 'the sources are not here' : false;

test('folders import along the pipeline only', { skip }, () => {
  assert.deepEqual(violations(readImports(src as string)), []);
});

test('files import each other without cycles', { skip }, () => {
  assert.deepEqual(cycles(readImports(src as string)), []);
});

test('every import is found: the reading of import statements is right', { skip }, () => {
  const imports = readImports(src as string);
  assert.deepEqual(missing(imports), []);
  const own = imports.get('graph/trace.ts') ?? [];
  for (const target of ['tensor/errors.ts', 'graph/device.ts', 'graph/operator.ts'])
    assert.ok(own.includes(target), target);
  assert.ok([...imports.values()].flat().length > 100);
});

test('docs/architecture.md names every folder, in the order of the pipeline', { skip }, () => {
  const page = readFileSync(join(dirname(src as string), 'docs/architecture.md'), 'utf8');
  const cells = [...page.matchAll(/^\| ((?:`[a-z]+\/`(?:, )?)+) \|/gm)];
  const named = cells.flatMap(([, cell]) => [...cell.matchAll(/[a-z]+/g)].map(([name]) => name));
  assert.deepEqual(named, [...ORDER, 'testing']);
  const folders = readdirSync(src as string, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(folders.map(({ name }) => name).sort(), [...named].sort());
});

test('import statements in all their forms', () => {
  const source = [
    "import a from './a.js';",
    "import { b,\n  type B } from './b.js';",
    "import type { C } from './c.js';",
    "import './d.js';",
    "export * from './e.js';",
    "export { f } from './f.js';",
    "  const g = await im_port('./g.js');",
    "// import h from './h.js';",
    "/* import i from './i.js'; */",
    "export const text = 'from'; const other = './j.js';",
  ]
    // Spelt so that this file does not seem to import it.
    .map((line) => line.replace('im_port', 'import'))
    .join('\n');
  assert.deepEqual(
    specifiers(source).sort(),
    ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `./${name}.js`),
  );
});

test('violations and cycles are reported', () => {
  const imports: Imports = new Map([
    ['index.ts', ['cli/main.ts', 'ops/add.ts']],
    ['tensor/shape.ts', ['tensor/dtype.ts']],
    ['tensor/dtype.ts', []],
    ['ops/add.ts', ['tensor/shape.ts', 'ops/mul.ts', 'autodiff/grad.ts']],
    ['ops/mul.ts', ['ops/sub.ts']],
    ['ops/sub.ts', ['ops/add.ts', 'ops/sub.ts']],
    ['ops/add.test.ts', ['cli/main.ts']],
    ['autodiff/grad.ts', ['testing/help.ts']],
    ['data/batch.ts', ['tensor/shape.ts', 'data/batch.ts', 'ops/add.ts']],
    ['cli/main.ts', ['data/batch.ts']],
    ['testing/help.ts', ['cli/main.ts']],
    ['elsewhere/x.ts', []],
  ]);
  assert.deepEqual(
    violations(imports).map((text) => text.split(':')[0]),
    [
      'ops/add.ts imports autodiff/grad.ts',
      'autodiff/grad.ts imports testing/help.ts',
      'data/batch.ts imports ops/add.ts',
      'elsewhere/x.ts',
    ],
  );
  assert.deepEqual(cycles(new Map([...imports].filter(([file]) => folderOf(file) === 'ops'))), [
    'ops/add.ts → ops/mul.ts → ops/sub.ts → ops/add.ts',
    'ops/sub.ts → ops/sub.ts',
  ]);
});
