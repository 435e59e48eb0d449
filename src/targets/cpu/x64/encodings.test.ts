import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fixturePath } from '../../../testing/fixtures.js';
import { type X64Case, x64Cases } from '../../../testing/x64-cases.js';
import { CodeBuilder, mnemonics, rowsOf } from './builder.js';
import { chooseRow } from './match.js';
import type { Label, Operand } from './operands.js';
import type { Row } from './row.js';

// Encodings beside GNU `as`: each instruction of x64Cases, whose bytes as `as` assembles them are kept in
// tests/fixtures/x64-encodings.txt (one line for each name), so that they are checked where there is no `as` too.
// `GABOR_UPDATE=1 npm test` writes that file anew, from what `as` says.
// One choice differs: `as` has a form of xchg for the accumulator that is a byte shorter.

const FIXTURE = fixturePath('x64-encodings.txt');
/** Longer than the longest instruction. */
const SLOT = 16;

interface Placed {
  readonly case: X64Case;
  readonly start: number;
  readonly end: number;
}

/** Every case at a multiple of SLOT. */
function placeAll(): { code: Uint8Array; listing: string; placed: readonly Placed[] } {
  const builder = new CodeBuilder();
  const base = builder.label('base');
  builder.bind(base);
  const placed = x64Cases(base).map((one) => {
    builder.align(SLOT);
    const start = builder.size;
    builder.emit(one.name, ...one.operands);
    return { case: one, start, end: builder.size };
  });
  const { code, listing } = builder.finish();
  return { code, listing: listing(), placed };
}

const { code, listing, placed } = placeAll();

/** What `as` prints, and the bytes it makes; undefined (and the test skipped) where it is not installed. */
function gnuAs(t: TestContext, source: string): { errors: string; bytes: Uint8Array } | undefined {
  const version = spawnSync('as', ['--version'], { encoding: 'utf8' });
  if (version.status !== 0 || !/GNU assembler.*x86_64/s.test(version.stdout)) {
    t.skip('GNU as for x86-64 is not installed (Debian: apt-get install binutils)');
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'gabor-as-'));
  try {
    const path = (name: string): string => join(folder, name);
    writeFileSync(path('code.s'), `.intel_syntax noprefix\n${source}`);
    const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
    const { stderr, status } = spawnSync('as', ['--64', '-o', path('code.o'), path('code.s')], options);
    if (status !== 0) return { errors: stderr, bytes: new Uint8Array() };
    const copy = spawnSync('objcopy', ['-O', 'binary', '-j', '.text', path('code.o'), path('code')], options);
    assert.equal(copy.status, 0, copy.stderr);
    return { errors: stderr, bytes: readFileSync(path('code')) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hex(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('hex');
}

/** Text of one case alone. */
function describe(one: X64Case): { text: string; features: string } {
  const builder = new CodeBuilder();
  const base = builder.label('base');
  builder.bind(base);
  const operands = one.operands.map((operand) =>
    typeof operand === 'object' && operand.kind === 'memory' && operand.label ? { ...operand, label: base } : operand,
  );
  builder.emit(one.name, ...operands);
  const { listing, features } = builder.finish();
  return { text: listing().split('\n')[1].trim(), features: [...features].sort().join(' ') };
}

/** Lines of the fixture: name, then the bytes of its cases. */
function fixtureLines(bytes: Uint8Array): string {
  const lines = new Map<string, string[]>();
  for (const { case: one, start, end } of placed) {
    const line = lines.get(one.name) ?? [];
    lines.set(one.name, line);
    line.push(hex(bytes, start, end));
  }
  return `${[...lines].map(([name, codes]) => `${name}: ${codes.join(' ')}`).join('\n')}\n`;
}

test('the cases meet every row of the tables', () => {
  const isJump = (operands: readonly { relative?: number }[]): boolean =>
    operands.some((p) => p.relative !== undefined);
  const rowOf = ({ name, operands }: X64Case): Row =>
    chooseRow(
      rowsOf(name),
      operands,
      () => false,
      () => name,
    ).row;
  const met = new Set(placed.map((one) => rowOf(one.case)));
  for (const name of mnemonics()) {
    for (const row of rowsOf(name)) assert.ok(met.has(row) || isJump(row.operands), `${name}: ${row.text}`);
  }
});

test('GNU as assembles the listing to the same bytes', (t) => {
  const assembled = gnuAs(t, listing);
  if (!assembled) return;
  assert.equal(assembled.errors, '');
  const { bytes } = assembled;
  if (process.env.GABOR_UPDATE) writeFileSync(FIXTURE, fixtureLines(bytes));
  for (const { case: one, start, end } of placed) {
    if (hex(code, start, end) !== hex(bytes, start, end)) {
      assert.equal(hex(code, start, end), hex(bytes, start, end), describe(one).text);
    }
  }
  assert.equal(hex(bytes), hex(code), 'the whole, nops included');
});

test('every instruction has the bytes that GNU as gave it', () => {
  const golden = new Map(
    readFileSync(FIXTURE, 'utf8')
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2).split(' ')]),
  );
  const counts = new Map<string, number>();
  for (const { case: one, start, end } of placed) {
    const index = counts.get(one.name) ?? 0;
    counts.set(one.name, index + 1);
    const bytes = hex(code, start, end);
    if (bytes !== golden.get(one.name)?.[index]) {
      assert.equal(
        bytes,
        golden.get(one.name)?.[index],
        `${describe(one).text}; GABOR_UPDATE=1 writes the fixture anew`,
      );
    }
  }
  for (const [name, codes] of golden) assert.equal(counts.get(name), codes.length, name);
});

test('the features that are reported suffice, and those of AVX-512 are needed', (t) => {
  const cases = placed.map((one) => describe(one.case));
  const bySet = new Map<string, string[]>();
  for (const { text, features } of cases) {
    const group = bySet.get(features) ?? [];
    bySet.set(features, group);
    group.push(text);
  }
  const directive = (feature: string): string => (feature === 'bmi1' ? 'bmi' : feature);
  let source = '.Lbase:\n';
  for (const [features, texts] of bySet) {
    const allowed = features.split(' ').filter(Boolean);
    source += [
      '.arch generic64',
      '.arch .rdtscp',
      '.arch .xsave',
      ...allowed.map((feature) => `.arch .${directive(feature)}`),
      ...texts,
      '',
    ].join('\n');
  }
  const enough = gnuAs(t, source);
  if (!enough) return;
  assert.equal(enough.errors, '');

  // The other way round: `as` refuses exactly these without the feature. (VNNI, BF16 and VBMI are left out: without
  // AVX-512VL `as` takes AVX forms of the first two, and without AVX-512BW it knows nothing of the last.)
  const other = cases.filter(({ features }) => !/vnni|vbmi|bf16/.test(features));
  for (const feature of ['avx512vl', 'avx512bw', 'avx512dq', 'popcnt', 'lzcnt', 'bmi1', 'bmi2']) {
    const lines = ['.Lbase:', `.arch .no${directive(feature)}`, ...other.map(({ text }) => text), ''];
    const refused = new Set(
      [...gnuAs(t, lines.join('\n'))!.errors.matchAll(/code\.s:(\d+): Error/g)].map((m) => Number(m[1]) - 4),
    );
    other.forEach(({ text, features }, i) => {
      assert.equal(features.split(' ').includes(feature), refused.has(i), `${text}: ${feature}`);
    });
  }
});

test('jumps, calls, alignment and constants agree with GNU as', (t) => {
  const builder = new CodeBuilder();
  const [top, far, end, helper] = ['top', 'far', 'end', 'helper'].map((name) => builder.label(name));
  const jumps = mnemonics().filter((name) => /^j/.test(name));
  const f32 = builder.constantF32([1, 2, 3, 4, 5, 6, 7, 8]);
  const odd = builder.constant(new Uint8Array([1, 2, 3, 4, 5]));
  const operand = (label: Label): Operand => ({ kind: 'memory', label, scale: 1, displacement: 0 });
  builder.bind(far);
  builder.emit('nop');
  for (let size = 2; size <= 64; size *= 2) {
    for (let i = 0; i < 7; i++) {
      builder.emit('cdq');
      builder.align(size);
    }
  }
  builder.bind(top);
  builder.comment('backwards, near and far');
  for (const name of jumps) {
    builder.emit(name, top);
    builder.emit(name, end);
    builder.emit(name, far);
  }
  builder.emit('call', helper);
  builder.emit('call', far);
  builder.emit(
    'vaddps',
    { kind: 'vector', index: 17, bits: 256 },
    { kind: 'vector', index: 1, bits: 256 },
    operand(f32),
  );
  builder.emit(
    'vcmpps',
    { kind: 'vector', index: 1, bits: 256 },
    { kind: 'vector', index: 1, bits: 256 },
    operand(f32),
    3,
  );
  builder.emit('lea', { kind: 'general', index: 0, bits: 64 }, operand(odd));
  builder.emit('cmp', { ...(operand(f32) as object), bits: 32 } as Operand, 1000);
  builder.bind(end);
  builder.emit('ret');
  builder.bind(helper);
  builder.emit('ret', 16);
  const finished = builder.finish();
  const assembled = gnuAs(t, finished.listing());
  if (!assembled) return;
  assert.equal(assembled.errors, '');
  assert.equal(hex(finished.code), hex(assembled.bytes));
});
