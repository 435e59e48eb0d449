// How much work the compiler has with programs that use the package: the counts of `tsc --extendedDiagnostics`, which do not
// depend on the machine.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from '../harness/gabor.mjs';

// What the project builds with, not what peers have brought into this folder.
const require = createRequire(new URL('../../package.json', import.meta.url));
const programs = fileURLToPath(new URL('./programs', import.meta.url));
const budgetFile = new URL('./budget.json', import.meta.url);

/** Counts may be so much above the budget. */
export const TOLERANCE = 0.1;

/** What is counted: how often the compiler put arguments into a generic type, and how many types it made. */
const COUNTS = ['Instantiations', 'Types'];

export const typescriptVersion = require('typescript/package.json').version;

/** Type-checks every program; { program: { Instantiations, Types, seconds } }. */
export function measureTypes() {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-types-'));
  try {
    return Object.fromEntries(
      readdirSync(programs)
        .filter((file) => file.endsWith('.ts'))
        .sort()
        .map((file) => [file.replace(/\.ts$/, ''), measureProgram(folder, join(programs, file))]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function measureProgram(folder, file) {
  const compilerOptions = {
    target: 'ES2022',
    module: 'ESNext',
    moduleResolution: 'Bundler',
    lib: ['ES2022', 'ES2024.SharedMemory', 'ESNext.Disposable'],
    types: ['node'],
    typeRoots: [dirname(dirname(require.resolve('@types/node/package.json')))],
    paths: { gabor: [join(build, 'index.d.ts')] },
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const project = join(folder, 'tsconfig.json');
  writeFileSync(project, JSON.stringify({ compilerOptions, files: [file] }));
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  // One checker: several would each count what they have in common.
  const args = [tsc, '-p', project, '--extendedDiagnostics', '--singleThreaded', '--pretty', 'false'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} does not type-check:\n${stdout}${stderr}`);
  const number = (label) => {
    const found = new RegExp(`^${label}:\\s+([\\d.]+)`, 'm').exec(stdout);
    if (found === null) throw new Error(`tsc ${typescriptVersion} prints no "${label}":\n${stdout}`);
    return Number(found[1]);
  };
  return { ...Object.fromEntries(COUNTS.map((label) => [label, number(label)])), seconds: number('Check time') };
}

/** The committed counts, and with which compiler they were made. */
export function readBudget() {
  return JSON.parse(readFileSync(budgetFile, 'utf8'));
}

export function writeBudget(measured) {
  const counts = Object.fromEntries(
    Object.entries(measured).map(([program, { seconds: _, ...rest }]) => [program, rest]),
  );
  writeFileSync(budgetFile, `${JSON.stringify({ typescript: typescriptVersion, programs: counts }, null, 2)}\n`);
}

/** Each count beside its budget; `over` where it is more than the tolerance above, or has no budget. */
export function compareTypes(measured, budget) {
  return Object.entries(measured).flatMap(([program, counts]) =>
    COUNTS.map((count) => {
      const allowed = budget.programs[program]?.[count] ?? 0;
      return {
        program,
        count,
        measured: counts[count],
        budget: allowed,
        over: counts[count] > allowed * (1 + TOLERANCE),
      };
    }),
  );
}
