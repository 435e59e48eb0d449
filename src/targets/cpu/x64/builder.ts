/** Assembles x86-64 code: instructions, labels, a constant pool, alignment, a listing. */

import { invariant } from '../../../tensor/errors.js';
import { Encoder } from './encode.js';
import type { CpuFeature } from './features.js';
import { generalRows } from './general-rows.js';
import { instructionText } from './listing.js';
import { type Choice, chooseRow, isRounding, type Selection, signatureOf } from './match.js';
import type { Label, Operand } from './operands.js';
import { parseRow, type Row } from './row.js';
import { vectorRows } from './vector-rows.js';

/** Names of instructions, as in GNU `as` with Intel syntax. */
export type Mnemonic = keyof ReturnType<typeof generalRows> | keyof ReturnType<typeof vectorRows>;

let texts: Readonly<Record<string, string | readonly string[]>> | undefined;

/** Made when it is needed: a process whose programs are all kept from an earlier one assembles nothing. */
function rowTexts(): Readonly<Record<string, string | readonly string[]>> {
  texts ??= { ...generalRows(), ...vectorRows() };
  return texts;
}
/** The rows of an instruction that were needed so far, and their texts. */
interface Rows {
  readonly texts: readonly string[];
  readonly parsed: Row[];
}

const table = new Map<string, Rows>();
/** Of each instruction, by {@link signatureOf} its operands. */
const selections = new Map<string, Map<number, Selection>>();

/** All names that {@link CodeBuilder.emit} takes. */
export function mnemonics(): readonly Mnemonic[] {
  return Object.keys(rowTexts()) as Mnemonic[];
}

/** Encodings of an instruction, the preferred first. */
export function rowsOf(name: Mnemonic): readonly Row[] {
  return [...eachRow(name)];
}

/** The same one by one: a row is parsed when somebody looks at it. */
function* eachRow(name: Mnemonic): Generator<Row> {
  let rows = table.get(name);
  if (rows === undefined) {
    const texts = rowTexts()[name];
    invariant(texts !== undefined, () => `no instruction ${name}`);
    rows = { texts: typeof texts === 'string' ? [texts] : texts, parsed: [] };
    table.set(name, rows);
  }
  for (let i = 0; i < rows.texts.length; i++) {
    rows.parsed[i] ??= parseRow(name, rows.texts[i]);
    yield rows.parsed[i];
  }
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
  /** GNU `as` source, after `.intel_syntax noprefix`, that assembles to the same bytes; for a builder that remembers it. */
  listing(): string;
}

type Item =
  | { readonly kind: 'instruction'; readonly choice: Choice }
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
  readonly #encoder = new Encoder();
  /** Undefined: nobody will want a listing. */
  readonly #items: Item[] | undefined;
  #labels = 0;
  readonly #names = new Set<string>();
  readonly #offsets = new Map<Label, number>();
  readonly #fixups: PendingFixup[] = [];
  readonly #constants = new Map<string, Constant>();
  /** {@link constantI32}'s, which are asked for again and again. */
  readonly #words = new Map<string, Label>();
  readonly #word = new Map<number, Label>();
  readonly #used = new Set<Selection>();
  #last: Selection | undefined;
  readonly #features = new Set<CpuFeature>();
  #evex = false;
  #finished = false;

  /** @param listing whether to remember what a listing needs. */
  constructor(listing = true) {
    this.#items = listing ? [] : undefined;
  }

  /** Bytes of instructions so far. */
  get size(): number {
    return this.#encoder.size;
  }

  /**
   * Appends one instruction, operands in Intel's order (destination first). VEX is taken where it can express the
   * operands, else EVEX. Jumps back are short where they reach; jumps ahead and calls always have 32 bits.
   *
   * @throws InternalError if no encoding takes these operands.
   */
  emit(name: Mnemonic, ...operands: readonly Operand[]): void {
    this.emitAll(name, operands);
  }

  /** As {@link emit}. */
  emitAll(name: Mnemonic, operands: readonly Operand[]): void {
    invariant(!this.#finished, 'this code is finished');
    const encoder = this.#encoder;
    const last = operands[operands.length - 1];
    const rounding = isRounding(last) ? last : undefined;
    const plain = rounding === undefined ? operands : operands.slice(0, -1);
    const selection = this.#select(name, operands);
    encoder.encode(selection, plain, rounding);
    const { label } = encoder;
    if (label !== undefined) {
      const { position, size: end, fieldBytes: bytes, addend } = encoder;
      this.#fixups.push({ label, addend, bytes, position, end });
    }
    this.#items?.push({ kind: 'instruction', choice: { ...selection, operands: plain, rounding } });
  }

  #select(name: Mnemonic, operands: readonly Operand[]): Selection {
    let known = selections.get(name);
    if (known === undefined) {
      known = new Map();
      selections.set(name, known);
    }
    const signature = signatureOf(operands, this.#reach);
    let selection = signature === 0 ? undefined : known.get(signature);
    if (selection === undefined) {
      const rows = { [Symbol.iterator]: () => eachRow(name) };
      const choice = chooseRow(rows, operands, this.#reach, () => `${name} ${instructionText(operands)}`);
      const { row, form, width, operandSize } = choice;
      selection = { row, form, width, operandSize };
      if (signature !== 0) known.set(signature, selection);
    }
    if (selection !== this.#last && !this.#used.has(selection)) {
      this.#used.add(selection);
      this.#note(selection);
    }
    this.#last = selection;
    return selection;
  }

  /** Whether a jump with rel8, which has two bytes, reaches a label. */
  readonly #reach = (label: Operand): boolean =>
    this.#encoder.size + 2 - (this.#offsets.get(label as Label) ?? Number.NEGATIVE_INFINITY) <= 128;

  /** A place that is bound later, or never. The name is for the listing, which shows it as a local label of `as`, made unique. */
  label(name = ''): Label {
    const id = this.#labels++;
    const plain = name === '' ? '.L' : `.L${name.replace(/[^\w.]/g, '_')}`;
    const unique = name === '' || this.#names.has(plain) ? `${plain}${name === '' ? '' : '_'}${id}` : plain;
    invariant(!this.#names.has(unique), () => `two labels are named ${unique}`);
    this.#names.add(unique);
    return { kind: 'label', name: unique, id };
  }

  /** The label stands for the next instruction. */
  bind(label: Label): void {
    invariant(!this.#offsets.has(label), () => `label ${label.name} is bound twice`);
    this.#offsets.set(label, this.#encoder.size);
    this.#items?.push({ kind: 'label', label });
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

  /** A constant of 32 bits. */
  constantWord(value: number): Label {
    let label = this.#word.get(value);
    if (label === undefined) {
      label = this.constantI32([value]);
      this.#word.set(value, label);
    }
    return label;
  }

  constantI32(values: ArrayLike<number>): Label {
    const key = Array.prototype.join.call(values);
    let label = this.#words.get(key);
    if (label === undefined) {
      label = this.constant(new Uint8Array(Int32Array.from(values).buffer));
      this.#words.set(key, label);
    }
    return label;
  }

  /** Fills with nops up to a multiple of `bytes` (a power of two up to 64). */
  align(bytes: number): void {
    invariant([1, 2, 4, 8, 16, 32, 64].includes(bytes), () => `alignment ${bytes}`);
    invariant(!this.#finished, 'this code is finished');
    const encoder = this.#encoder;
    let missing = -encoder.size & (bytes - 1);
    encoder.reserve(missing);
    while (missing > 0) {
      const nop = NOPS[Math.min(missing, NOPS.length - 1)];
      encoder.bytes.set(nop, encoder.size);
      encoder.size += nop.length;
      missing -= nop.length;
    }
    this.#items?.push({ kind: 'align', bytes });
  }

  /** Only for the listing. */
  comment(text: string): void {
    this.#items?.push({ kind: 'comment', text });
  }

  /** Places the constants and fills in all labels. Nothing can be appended afterwards. */
  finish(): FinishedCode {
    invariant(!this.#finished, 'this code is finished already');
    this.#finished = true;
    const instructionBytes = this.#encoder.size;
    const constants = [...this.#constants.values()].sort((a, b) => alignmentOf(b) - alignmentOf(a));
    let size = constants.length === 0 ? instructionBytes : roundUp(instructionBytes, POOL_ALIGNMENT);
    for (const constant of constants) {
      size = roundUp(size, alignmentOf(constant));
      this.#offsets.set(constant.label, size);
      size += constant.bytes.length;
    }
    const code = new Uint8Array(size);
    code.set(this.#encoder.bytes.subarray(0, instructionBytes));
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
    invariant(offset !== undefined, () => `label ${label.name} is used but not bound`);
    return offset;
  }

  #note({ row, form, width }: Selection): void {
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
    invariant(this.#items !== undefined, 'this code was made without a listing');
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
