// Bundles what tsc compiled, so that a program loads a script and a few lines instead of 250 modules (docs/decisions/startup.md):
// BUILD/bundle/library.cjs has all modules and the dependencies written in JavaScript; every entry of package.json is a file of names
// that come from there; every worker is a file of its own.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runInThisContext } from 'node:vm';
import { build } from 'esbuild';

const root = resolve(process.env.GABOR_BUILD ?? fileURLToPath(new URL('../dist', import.meta.url)));
const out = join(root, 'bundle');
const { exports, bin } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** Name of the file in the bundle → module. */
const entries = new Map();
const enter = (name, file) => {
  if ((entries.get(name) ?? file) !== file) throw new Error(`bundle: two entries are named ${name}`);
  entries.set(name, file);
};
const command = basename(bin.gabor, '.js');
enter(command, 'cli/main.js');
for (const { types, default: file } of Object.values(exports)) {
  if (!/^\.\/dist\/bundle\/[\w-]+\.js$/.test(file)) throw new Error(`package.json: ${file} is not in dist/bundle`);
  enter(basename(file, '.js'), types.replace('./dist/', '').replace(/\.d\.ts$/, '.js'));
}
const modules = readdirSync(root, { recursive: true })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.js') && !/\.test\.js$|^testing\/|^bundle\//.test(file))
  .sort();
const hash = createHash('sha256');
/** Files beside a module that it names by a URL: all files of the bundle lie in one folder, so that such names stay right. */
const workers = new Map();
for (const file of modules) {
  const text = readFileSync(join(root, file), 'utf8');
  hash.update(`${file} ${text.length}\n`).update(text);
  for (const [, , name] of text.matchAll(/new URL\((['"])\.\/([\w-]+)\.js\1, import\.meta\.url\)/g)) {
    const worker = join(dirname(file), `${name}.js`);
    if (!existsSync(join(root, worker))) throw new Error(`bundle: ${file} names ${name}.js, which is missing`);
    if (entries.has(name) || (workers.get(name) ?? worker) !== worker)
      throw new Error(`bundle: two files are named ${name}`);
    workers.set(name, worker);
  }
}

const define = { BUNDLED_MODULES: JSON.stringify(hash.digest('hex')) };
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['koffi'],
  logLevel: 'warning',
  metafile: true,
};

/**
 * Dependencies, and modules of Node that take milliseconds, run when something of them is used: their exports become getters. What they
 * export is asked here.
 */
const later = {
  name: 'later',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:node:crypto|[@a-z][^:]*)$/ }, async ({ path, kind, resolveDir }) => {
      if (kind !== 'import-statement' || common.external.includes(path)) return undefined;
      const exported = await import(path);
      // The default export of what is not an ES module is the module: it must be an object to be a set of getters.
      if (typeof exported.default === 'function') return undefined;
      return { path, namespace: 'later', pluginData: { names: Object.keys(exported), resolveDir } };
    });
    onLoad({ filter: /.*/, namespace: 'later' }, ({ path, pluginData: { names, resolveDir } }) => {
      const getter = (name) => `get ${JSON.stringify(name)}() { return load()[${JSON.stringify(name)}]; }`;
      const getters = names.filter((name) => name !== 'default').map(getter);
      const contents = `const load = () => require(${JSON.stringify(path)});\nmodule.exports = { ${getters.join(', ')} };`;
      return { contents, resolveDir };
    });
  },
};

/** Fails where something is left that is not there at run time. */
function checkImports(outputs) {
  for (const [file, { imports }] of Object.entries(outputs)) {
    for (const { path, kind } of imports) {
      if (isBuiltin(path) ? kind !== 'dynamic-import' : common.external.includes(path)) continue;
      throw new Error(`bundle: ${file} imports ${path} (${kind})`);
    }
  }
}

/** Licences of the packages in a bundle, and of those that such a package has bundled into itself. */
function licences(inputs) {
  const found = new Map();
  for (const input of inputs) {
    const [, folder, modules, name] = /^((.*node_modules\/)((?:@[^/]+\/)?[^/]+))\//.exec(input) ?? [];
    if (folder === undefined) continue;
    found.set(name, folder);
    // esbuild, with which they are bundled too, writes above every module where it was.
    const inside = readFileSync(input, 'utf8').matchAll(/^\s*\/\/ (?:.*\/)?node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm);
    for (const [, packed] of inside) {
      if (!existsSync(modules + packed))
        throw new Error(`bundle: ${name} has ${packed} in it, whose licence is missing`);
      found.set(packed, modules + packed);
    }
  }
  const texts = [...found].sort().map(([name, folder]) => {
    const file = readdirSync(folder).find((entry) => /^(?:licen[cs]e|copying)/i.test(entry));
    const { version, license, repository } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const source = repository?.url ?? repository ?? '';
    const text = file === undefined ? `Licence: ${license} ${source}` : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version}\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const names = [...entries].map(
  ([name, file]) => `${JSON.stringify(name)}: () => require(${JSON.stringify(`./${file}`)})`,
);
const library = await build({
  ...common,
  stdin: { contents: `module.exports = { ${names.join(', ')} };`, resolveDir: root },
  write: false,
  outfile: join(out, 'library.cjs'),
  format: 'cjs',
  minifyWhitespace: true,
  lineLimit: 120,
  define: { ...define, 'import.meta.url': '__url' },
  banner: { js: '(function (require, module, __url) {' },
  footer: { js: '})' },
  plugins: [later],
});
checkImports(library.metafile.outputs);
// It is read as one byte for each character. esbuild has escaped others in texts, not in regular expressions; comments are gone.
const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
const ascii = new TextDecoder().decode(library.outputFiles[0].contents).replace(/[^\n\t -~]/g, escaped);
writeFileSync(join(out, 'library.cjs'), ascii);
const script = createHash('sha256').update(ascii).digest('hex');

const workerFiles = await build({
  ...common,
  entryPoints: Object.fromEntries([...workers].map(([name, file]) => [name, join(root, file)])),
  outdir: out,
  format: 'esm',
  // HDF5's library is WebAssembly as text, a third shorter so.
  charset: 'utf8',
  define,
});
// Modules of Node come faster by require than by import, which looks at everything that they export.
const loader = await build({
  ...common,
  entryPoints: [join(root, 'runtime/script-loader.js')],
  outfile: join(out, 'loader.cjs'),
  format: 'cjs',
  define: { BUNDLED_SCRIPT: JSON.stringify(script) },
});
for (const { metafile } of [workerFiles, loader]) checkImports(metafile.outputs);

const bundled = { exports: {} };
const libraryUrl = pathToFileURL(join(out, 'library.cjs')).href;
runInThisContext(ascii)(createRequire(libraryUrl), bundled, libraryUrl);

/** esbuild renames classes and functions; keeping all their names takes milliseconds of every start, those of exports alone do not. */
function renamed(exported, name) {
  const given = Object.entries(bundled.exports[name]());
  const wrong = given.filter(([key, value]) => typeof value === 'function' && value.name !== exported[key].name);
  return wrong.map(([key]) => [key, exported[key].name]);
}

for (const [name, file] of entries) {
  const path = join(out, `${name}.js`);
  const imports = `import { createRequire as $from } from 'node:module';\n`;
  const entry = `$from(import.meta.url)('./loader.cjs').load(${JSON.stringify(name)})`;
  if (name === command) {
    writeFileSync(path, `#!/usr/bin/env node\n${imports}${entry};\n`, { mode: 0o755 });
    continue;
  }
  const exported = await import(pathToFileURL(join(root, file)));
  const names = `for (const [$key, value] of ${JSON.stringify(renamed(exported, name))})
  Object.defineProperty($entry[$key], 'name', { value, configurable: true });`;
  const keys = Object.keys(exported).join(',\n  ');
  writeFileSync(path, `${imports}const $entry = ${entry};\n${names}\nexport const {\n  ${keys},\n} = $entry;\n`);
}
const inputs = [library, workerFiles].flatMap(({ metafile }) => Object.keys(metafile.inputs));
writeFileSync(join(out, 'licences.txt'), licences(inputs));
