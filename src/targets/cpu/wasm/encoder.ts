/**
 * Writes the WebAssembly binary format (WebAssembly Core Specification 3.0, chapter 5): integers in LEB128, sections, and
 * the few kinds of entries that a module of kernels has.
 */

export const ValueType = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

/** Unsigned LEB128 of an integer below 2^32. */
export function unsignedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

/** Signed LEB128 of a 32-bit integer. */
export function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  while (rest < -0x40 || rest >= 0x40) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  bytes.push(rest & 0x7f);
  return bytes;
}

/** A growable array of bytes. */
export class ByteWriter {
  #bytes: Uint8Array = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(this.#length + 1);
    this.#bytes[this.#length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    this.#grow(this.#length + values.length);
    this.#bytes.set(values, this.#length);
    this.#length += values.length;
  }

  u32(value: number): void {
    for (const byte of unsignedLeb(value)) this.byte(byte);
  }

  /** A name: its length in bytes and its UTF-8 bytes. */
  name(text: string): void {
    const utf8 = new TextEncoder().encode(text);
    this.u32(utf8.length);
    this.bytes(utf8);
  }

  /** A part with its length in front. */
  sized(write: (part: ByteWriter) => void): void {
    const part = new ByteWriter();
    write(part);
    this.u32(part.length);
    this.bytes(part.finish());
  }

  section(id: number, write: (part: ByteWriter) => void): void {
    this.byte(id);
    this.sized(write);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** A function that returns nothing. `body` holds its instructions without the final `end`. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly ValueType[];
  /** default: none */
  readonly results?: readonly ValueType[];
  /** Types of the locals after the parameters, in order. */
  readonly locals: readonly ValueType[];
  readonly body: Uint8Array;
}

export interface WasmModule {
  readonly functions: readonly WasmFunction[];
  /** Imported as `env.memory`, 0 … 65536 pages; absent: no memory. */
  readonly memory?: { readonly shared: boolean };
  readonly exports: readonly { readonly name: string; readonly index: number }[];
}

const SECTION = { custom: 0, type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const MAXIMUM_PAGES = 65536;

export function encodeModule(module: WasmModule): Uint8Array {
  const { functions, memory } = module;
  const out = new ByteWriter();
  out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]); // "\0asm", version 1

  const signatures = new Map<string, number>();
  const typeOf = functions.map((f) => {
    const key = `${f.parameters.join()}:${(f.results ?? []).join()}`;
    if (!signatures.has(key)) signatures.set(key, signatures.size);
    return signatures.get(key)!;
  });
  out.section(SECTION.type, (s) => {
    s.u32(signatures.size);
    for (let type = 0; type < signatures.size; type++) {
      const f = functions[typeOf.indexOf(type)];
      s.byte(0x60);
      s.u32(f.parameters.length);
      s.bytes(f.parameters);
      s.u32(f.results?.length ?? 0);
      s.bytes(f.results ?? []);
    }
  });
  if (memory !== undefined) {
    out.section(SECTION.import, (s) => {
      s.u32(1);
      s.name('env');
      s.name('memory');
      s.byte(0x02);
      s.byte(memory.shared ? 0x03 : 0x01); // limits with a maximum, shared or not
      s.u32(0);
      s.u32(MAXIMUM_PAGES);
    });
  }
  out.section(SECTION.function, (s) => {
    s.u32(functions.length);
    for (const type of typeOf) s.u32(type);
  });
  out.section(SECTION.export, (s) => {
    s.u32(module.exports.length);
    for (const { name, index } of module.exports) {
      s.name(name);
      s.byte(0x00);
      s.u32(index);
    }
  });
  out.section(SECTION.code, (s) => {
    s.u32(functions.length);
    for (const f of functions) {
      s.sized((code) => {
        writeLocals(code, f.locals);
        code.bytes(f.body);
        code.byte(0x0b);
      });
    }
  });
  // Function names, for profilers and stack traces.
  out.section(SECTION.custom, (s) => {
    s.name('name');
    s.byte(1);
    s.sized((part) => {
      part.u32(functions.length);
      functions.forEach((f, index) => {
        part.u32(index);
        part.name(f.name);
      });
    });
  });
  return out.finish();
}

/** Locals as runs of one type. */
function writeLocals(code: ByteWriter, locals: readonly ValueType[]): void {
  const runs: { type: ValueType; count: number }[] = [];
  for (const type of locals) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  code.u32(runs.length);
  for (const { type, count } of runs) {
    code.u32(count);
    code.byte(type);
  }
}
