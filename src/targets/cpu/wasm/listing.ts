import { ValueType, type WasmFunction } from './encoder.js';
import { Atomic, Misc, Op, PREFIX_ATOMIC, PREFIX_MISC, PREFIX_SIMD, Simd } from './opcodes.js';

type Immediates = 'none' | 'index' | 'block' | 's32' | 's64' | 'f32' | 'memory' | 'bytes16' | 'lane' | 'memoryLane';

const nameOf = (table: Readonly<Record<string, number>>): Map<number, string> =>
  new Map(Object.entries(table).map(([name, code]) => [code, name]));
const NAMES: Map<number, string> = nameOf(Op);
const PREFIXED: Map<number, Map<number, string>> = new Map([
  [PREFIX_MISC, nameOf(Misc)],
  [PREFIX_SIMD, nameOf(Simd)],
  [PREFIX_ATOMIC, nameOf(Atomic)],
]);
/** The prefixes of atomic instructions that share names with others. */
const ATOMIC_NAMES: Record<string, string> = { i32Load: 'i32AtomicLoad', i32Store: 'i32AtomicStore' };
const I64_CONST = 0x42;

function immediatesOf(prefix: number | undefined, name: string): Immediates {
  if (prefix === PREFIX_ATOMIC) return 'memory';
  if (prefix === PREFIX_SIMD) {
    if (/Store\d+Lane$/.test(name)) return 'memoryLane';
    if (/^v128(Load|Store)/.test(name)) return 'memory';
    if (name === 'v128Const' || name === 'i8x16Shuffle') return 'bytes16';
    return /(Extract|Replace)Lane$/.test(name) ? 'lane' : 'none';
  }
  if (/^[if]32(Load|Store)/.test(name)) return 'memory';
  if (/^(local|br|call)/.test(name)) return 'index';
  if (/^(block|loop|if)$/.test(name)) return 'block';
  if (name === 'i32Const') return 's32';
  return name === 'f32Const' ? 'f32' : 'none';
}

/** The instructions of a function, one per line, for snapshots and for debugging. */
export function listing(f: WasmFunction): string {
  const { body } = f;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = body[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  const signed = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = body[at++];
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      const unused = 32 - Math.min(32, shift + 7);
      return (value << unused) >> unused;
    }
  };
  const memory = (): string => {
    at++; // alignment is a hint
    const offset = unsigned();
    return offset === 0 ? '' : ` +${offset}`;
  };
  const skip = (bytes: number) => (): string => {
    at += bytes;
    return '';
  };
  const unsigned32 = (): string => {
    at += 4;
    return view.getUint32(at - 4, true).toString(16);
  };
  const float32 = (): number => {
    at += 4;
    return view.getFloat32(at - 4, true);
  };
  const operands: Record<Immediates, () => string> = {
    none: () => '',
    index: () => ` ${unsigned()}`,
    block: skip(1),
    s32: () => ` ${signed()}`,
    s64: () => ` ${signed()}`,
    f32: () => ` ${float32()}`,
    memory,
    bytes16: () => ` ${[unsigned32(), unsigned32(), unsigned32(), unsigned32()].join(' ')}`,
    lane: () => ` ${body[at++]}`,
    memoryLane: () => `${memory()} lane ${body[at++]}`,
  };

  const typeNames = new Map(Object.entries(ValueType).map(([name, code]) => [code, name]));
  const types = (list: readonly ValueType[]): string => list.map((type) => typeNames.get(type)).join(' ');
  const lines = [`${f.name}(${types(f.parameters)}) locals ${types(f.locals)}`];
  let indent = 1;
  while (at < body.length) {
    const first = body[at++];
    const table = PREFIXED.get(first);
    const code = table ? unsigned() : first;
    const name = table ? table.get(code) : code === I64_CONST ? 'i64Const' : NAMES.get(code);
    if (name === undefined) throw new RangeError(`unknown opcode ${first} ${code} at byte ${at}`);
    const immediates = code === I64_CONST && !table ? 's64' : immediatesOf(table ? first : undefined, name);
    if (!table && (name === 'end' || name === 'else')) indent--;
    const shown = first === PREFIX_ATOMIC ? (ATOMIC_NAMES[name] ?? name) : name;
    lines.push(`${'  '.repeat(indent)}${shown}${operands[immediates]()}`);
    if (!table && (immediates === 'block' || name === 'else')) indent++;
  }
  return lines.join('\n');
}
