/** Assembles x86-64 code: instructions, labels, a constant pool, alignment, a listing. */

import { invariant } from '../../../tensor/errors.js';
import { encode } from './encode.js';
import type { CpuFeature } from './features.js';
import { GENERAL_ROWS } from './general-rows.js';
import { instructionText } from './listing.js';
import { type Choice, chooseRow } from './match.js';
import type { Label, Operand } from './operands.js';
import { parseRow, type Row } from './row.js';
import { VECTOR_ROWS } from './vector-rows.js';

/** Names of instructions, as in GNU `as` with Intel syntax. */
export type Mnemonic = keyof typeof GENERAL_ROWS | keyof typeof VECTOR_ROWS;

const TABLE: Readonly<Record<string, string | readonly string[]>> = { ...GENERAL_ROWS, ...VECTOR_ROWS };
const parsed = new Map<string, readonly Row[]>();

/** All names that {@link CodeBuilder.emit} takes. */
export function mnemonics(): readonly Mnemonic[] {
  return Object.keys(TABLE) as Mnemonic[];
}

/** Encodings of an instruction, the preferred first. */
export function rowsOf(name: Mnemonic): readonly Row[] {
  let rows = parsed.get(name);
  if (!rows) {
    const texts = TABLE[name];
    invariant(texts !== undefined, `no instruction ${name}`);
    rows = (typeof texts === 'string' ? [texts] : texts).map((text) => parseRow(name, text));
    parsed.set(name, rows);
  }
  return rows;
}

export interface FinishedCode {
  /** Instructions, then the constant pool. Position independent; load it at a multiple of 64. */
  readonly code: Uint8Array;
  /** Bytes before the constant pool. */
  readonly instructionBytes: number;
  /** Of all instructions together; beyond x86-64 with SSE2. */
  readonly features: ReadonlySet<CpuFeature>;
  /** Whether any instruction has an EVEX prefix. */
  readonly evex: boolean;
  /** Offset of a bound label or constant in `code`. */
  offset(label: Label): number;
  /** GNU `as` source, after `.intel_syntax noprefix`, that assembles to the same bytes. */
  listing(): string;
}

type Item =
  | { readonly kind: 'instruction'; readonly choice: Choice; readonly offset: number }
  | { readonly kind: 'label'; readonly label: Label }
  | { readonly kind: 'align'; readonly bytes: number }
  | { readonly kind: 'comment'; readonly text: string };

interface PendingFixup {
  readonly label: Label;
  readonly position: number;
  readonly end: number;
  readonly bytes: 1 | 4;
  readonly addend: number;
}

interface Constant {
  readonly label: Label;
  readonly bytes: Uint8Array;
}

/** The recommended multi-byte nops (Intel SDM volume 2, NOP, table 4-12), longer ones with prefixes, as GNU `as` fills. */
const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

const POOL_ALIGNMENT = 64;

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function alignmentOf(constant: Constant): number {
  return Math.min(POOL_ALIGNMENT, 2 ** Math.ceil(Math.log2(constant.bytes.length)));
}

export class CodeBuilder {
  #bytes: Uint8Array = new Uint8Array(4096);
  #size = 0;
  #labels = 0;
  readonly #names = new Set<string>();
  readonly #items: Item[] = [];
  readonly #offsets = new Map<Label, number>();
  readonly #fixups: PendingFixup[] = [];
  readonly #constants = new Map<string, Constant>();
  readonly #features = new Set<CpuFeature>();
  #evex = false;
  #finished = false;

  /** Bytes of instructions so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Appends one instruction, operands in Intel's order (destination first). VEX is taken where it can express the
   * operands, else EVEX. Jumps back are short where they reach; jumps ahead and calls always have 32 bits.
   *
   * @throws InternalError if no encoding takes these operands.
   */
  emit(name: Mnemonic, ...operands: readonly Operand[]): void {
    const choice = chooseRow(
      rowsOf(name),
      operands,
      // A jump with rel8 has two bytes.
      (label) => this.#size + 2 - (this.#offsets.get(label as Label) ?? Number.NEGATIVE_INFINITY) <= 128,
      () => `${name} ${instructionText(operands)}`,
    );
    const start = this.#size;
    const { bytes, fixup } = encode(choice);
    this.#append(bytes);
    if (fixup) {
      const { label, addend } = fixup;
      this.#fixups.push({ label, addend, bytes: fixup.bytes, position: start + fixup.offset, end: this.#size });
    }
    this.#items.push({ kind: 'instruction', choice, offset: start });
    this.#note(choice);
  }

  /** A place that is bound later, or never. The name is for the listing, which shows it as a local label of `as`, made unique. */
  label(name = ''): Label {
    const id = this.#labels++;
    const plain = `.L${name.replace(/[^\w.]/g, '_')}`;
    const unique = name === '' || this.#names.has(plain) ? `${plain}${name === '' ? '' : '_'}${id}` : plain;
    invariant(!this.#names.has(unique), `two labels are named ${unique}`);
    this.#names.add(unique);
    return { kind: 'label', name: unique, id };
  }

  /** The label stands for the next instruction. */
  bind(label: Label): void {
    invariant(!this.#offsets.has(label), `label ${label.name} is bound twice`);
    this.#offsets.set(label, this.#size);
    this.#items.push({ kind: 'label', label });
  }

  /** Data in the constant pool, stored once however often it is asked for, aligned to its size rounded up to a power of two, at most 64. */
  constant(bytes: Uint8Array): Label {
    invariant(bytes.length > 0, 'a constant has at least one byte');
    const key = bytes.join();
    let constant = this.#constants.get(key);
    if (!constant) {
      constant = { label: this.label('constant'), bytes: bytes.slice() };
      this.#constants.set(key, constant);
    }
    return constant.label;
  }

  constantF32(values: ArrayLike<number>): Label {
    return this.constant(new Uint8Array(Float32Array.from(values).buffer));
  }

  constantI32(values: ArrayLike<number>): Label {
    return this.constant(new Uint8Array(Int32Array.from(values).buffer));
  }

  /** Fills with nops up to a multiple of `bytes` (a power of two up to 64). */
  align(bytes: number): void {
    invariant([1, 2, 4, 8, 16, 32, 64].includes(bytes), `alignment ${bytes}`);
    let missing = -this.#size & (bytes - 1);
    while (missing > 0) {
      const nop = NOPS[Math.min(missing, NOPS.length - 1)];
      this.#append(nop);
      missing -= nop.length;
    }
    this.#items.push({ kind: 'align', bytes });
  }

  /** Only for the listing. */
  comment(text: string): void {
    this.#items.push({ kind: 'comment', text });
  }

  /** Places the constants and fills in all labels. Nothing can be appended afterwards. */
  finish(): FinishedCode {
    invariant(!this.#finished, 'this code is finished already');
    this.#finished = true;
    const instructionBytes = this.#size;
    const constants = [...this.#constants.values()].sort((a, b) => alignmentOf(b) - alignmentOf(a));
    let size = constants.length === 0 ? instructionBytes : roundUp(instructionBytes, POOL_ALIGNMENT);
    for (const constant of constants) {
      size = roundUp(size, alignmentOf(constant));
      this.#offsets.set(constant.label, size);
      size += constant.bytes.length;
    }
    const code = new Uint8Array(size);
    code.set(this.#bytes.subarray(0, instructionBytes));
    for (const { label, bytes } of constants) code.set(bytes, this.#offset(label));
    const view = new DataView(code.buffer);
    for (const fixup of this.#fixups) {
      const distance = this.#offset(fixup.label) + fixup.addend - fixup.end;
      if (fixup.bytes === 1) view.setInt8(fixup.position, distance);
      else view.setInt32(fixup.position, distance, true);
    }
    return {
      code,
      instructionBytes,
      features: this.#features,
      evex: this.#evex,
      offset: (label) => this.#offset(label),
      listing: () => this.#listing(constants),
    };
  }

  #offset(label: Label): number {
    const offset = this.#offsets.get(label);
    invariant(offset !== undefined, `label ${label.name} is used but not bound`);
    return offset;
  }

  #append(bytes: readonly number[]): void {
    invariant(!this.#finished, 'this code is finished');
    if (this.#size + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  #note(choice: Choice): void {
    const { row, form, width } = choice;
    if (form === 'vex') {
      const feature = row.vex![width === 256 ? 1 : 0];
      this.#features.add(feature);
      if (feature.startsWith('avx512')) this.#features.add('avx512f');
    }
    if (row.legacyNeeds) this.#features.add(row.legacyNeeds);
    if (form !== 'evex') return;
    this.#evex = true;
    this.#features.add('avx512f').add(row.evex!);
    // Scalars and moves of one xmm are part of AVX-512F itself.
    if (width < 512 && (row.byWidth || width === 256)) this.#features.add('avx512vl');
  }

  #listing(constants: readonly Constant[]): string {
    const lines: string[] = [];
    for (const item of this.#items) {
      if (item.kind === 'instruction') lines.push(`  ${instructionText(item.choice)}`);
      else if (item.kind === 'label') lines.push(`${item.label.name}:`);
      else if (item.kind === 'align') lines.push(`  .balign ${item.bytes}`);
      else lines.push(`  # ${item.text.replaceAll('\n', ' ')}`);
    }
    if (constants.length > 0) lines.push(`  .balign ${POOL_ALIGNMENT}, 0`);
    for (const constant of constants) {
      const { label, bytes } = constant;
      const words = bytes.length % 4 === 0;
      const values = words ? new Uint32Array(bytes.buffer, 0, bytes.length / 4) : bytes;
      const texts = Array.from(values, (value) => `0x${value.toString(16)}`);
      lines.push(
        `  .balign ${alignmentOf(constant)}, 0`,
        `${label.name}:`,
        `  ${words ? '.long' : '.byte'} ${texts.join(', ')}`,
      );
    }
    return `${lines.join('\n')}\n`;
  }
}
