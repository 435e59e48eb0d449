/**
 * Instruction tables are rows of text in a notation close to Intel's manual; this file reads one row.
 *
 *     RVM v v v/m = NP.0F.W0 58 avx f kz b32 er
 *     │   │         │  │  │  │  └ what it needs and allows
 *     │   │         │  │  │  └ opcode, `/n` an opcode extension in modrm.reg
 *     │   │         │  │  └ W (`W01`: 0 in VEX, 1 in EVEX; absent: W0, for general registers by operand size)
 *     │   │         │  └ opcode map (0, 0F, 0F38, 0F3A)
 *     │   │         └ mandatory prefix (NP none, 66, F3, F2)
 *     │   └ operands
 *     └ where each operand goes: R modrm.reg, M modrm.rm, V vvvv, I immediate, S immediate bits 7:4, O opcode bits 2:0,
 *       D displacement of a jump, X nowhere (fixed)
 *
 * Operands: `v` vector of the instruction's width, `h` half of it, `q` a quarter, `x` `y` `z` fixed; `k` mask; `r` general register of the
 * operand size, `r8` … `r64` fixed, `a` `al` `cl` fixed; `/m` or memory of the same size, `/m32` of 32 bits, `m…` memory only, `mem`
 * of no size, `m32[v]` addressed by a vector index; `ib` byte, `ibs` sign-extended byte, `iw` `id` `iq` 16, 32, 64 bits, `is`
 * sign-extended 32 bits, `iz` `iw`, `id` or `is` by operand size, `1`; `rel8`, `rel32`.
 *
 * Attributes: `avx` … features of the VEX form (`avx|avx2`: 128 bits need AVX, 256 AVX2; `kf` `kbw` `kdq`: VEX that is part of AVX-512);
 * `f` `bw` `dq` `vnni` `bf16` `vbmi` of the EVEX form; neither: legacy. `kz` EVEX masks with merging and zeroing, `km` merging only, `kk` a mask is
 * required; `b32` `b64` broadcast; `er` `sae` rounding; `min256` not for 128 bits; `L1` vector length 256 although no operand says so;
 * `as=` name in EVEX; `back=` opcode of the same instruction with reg and rm exchanged, for a shorter VEX prefix; `suffix=` a byte after the opcode; `needs=` feature of a legacy form; `lock`; `W0` after the opcode: 64 bits need no W.
 */

import { invariant } from '../../../tensor/errors.js';
import type { CpuFeature } from './features.js';

/** Bits, or relative to the width of the instruction (v, h, q), or its operand size (r). */
export type Size = number | 'v' | 'h' | 'q' | 'r';

export interface Pattern {
  readonly register?: 'general' | 'vector' | 'mask';
  readonly registerSize?: Size;
  /** Only this register fits (a, al, cl). */
  readonly fixed?: number;
  readonly memory?: boolean;
  /** Absent: of no size. */
  readonly memorySize?: Size;
  /** No register says which of several sizes memory has, so it must say so itself. */
  readonly sizeNeeded?: boolean;
  /** Memory is addressed by a vector index of this size. */
  readonly vectorIndex?: Size;
  readonly immediate?: 'ib' | 'ibs' | 'iw' | 'id' | 'iq' | 'is' | 'iz' | 'one';
  readonly relative?: 8 | 32;
}

export interface Row {
  readonly name: string;
  readonly evexName: string;
  readonly places: string;
  readonly operands: readonly Pattern[];
  readonly prefix: 0 | 0x66 | 0xf3 | 0xf2;
  /** 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly extension?: number;
  readonly suffix?: number;
  readonly back?: number;
  /** Whether operands follow the operand size, which registers or memory tell. */
  readonly bySize: boolean;
  /** Operand size where none does: that of the fixed general registers or memory. */
  readonly fixedSize: number;
  /** Whether W is 1 for operands of 64 bits. */
  readonly sizeInW: boolean;
  /** undefined: by operand size. */
  readonly vexW?: 0 | 1;
  readonly evexW: 0 | 1;
  /** Vector length where no operand of width `v` says it: 128, 256, 512. */
  readonly length: number;
  /** Whether vector length comes from the operands of width `v`. */
  readonly byWidth: boolean;
  readonly minimum: number;
  /** Features for 128 and for 256 bits. */
  readonly vex?: readonly [CpuFeature, CpuFeature];
  readonly evex?: CpuFeature;
  readonly legacyNeeds?: CpuFeature;
  readonly mask: 'none' | 'merge' | 'zero' | 'required';
  readonly broadcast?: 32 | 64;
  readonly rounding?: 'er' | 'sae';
  readonly lock: boolean;
  readonly text: string;
}

const FLAGS: Readonly<Record<string, Partial<Row>>> = {
  avx: { vex: ['avx', 'avx'] },
  'avx|avx2': { vex: ['avx', 'avx2'] },
  avx2: { vex: ['avx2', 'avx2'] },
  fma: { vex: ['fma', 'fma'] },
  f16c: { vex: ['f16c', 'f16c'] },
  avx_vnni: { vex: ['avx_vnni', 'avx_vnni'] },
  bmi1: { vex: ['bmi1', 'bmi1'] },
  bmi2: { vex: ['bmi2', 'bmi2'] },
  kf: { vex: ['avx512f', 'avx512f'] },
  kbw: { vex: ['avx512bw', 'avx512bw'] },
  kdq: { vex: ['avx512dq', 'avx512dq'] },
  f: { evex: 'avx512f' },
  bw: { evex: 'avx512bw' },
  dq: { evex: 'avx512dq' },
  vnni: { evex: 'avx512_vnni' },
  bf16: { evex: 'avx512_bf16' },
  vbmi: { evex: 'avx512vbmi' },
  kz: { mask: 'zero' },
  km: { mask: 'merge' },
  kk: { mask: 'required' },
  b32: { broadcast: 32 },
  b64: { broadcast: 64 },
  er: { rounding: 'er' },
  sae: { rounding: 'sae' },
  min256: { minimum: 256 },
  L1: { length: 256 },
  lock: { lock: true },
  W0: { vexW: 0 },
  W1: { vexW: 1 },
};

/** Attributes with a value. */
const VALUES: Readonly<Record<string, (value: string) => Partial<Row>>> = {
  as: (value) => ({ evexName: value }),
  back: (value) => ({ back: Number.parseInt(value, 16) }),
  suffix: (value) => ({ suffix: Number.parseInt(value, 16) }),
  needs: (value) => ({ legacyNeeds: value as CpuFeature }),
};

const VECTOR_SIZES: Readonly<Record<string, Size>> = { v: 'v', h: 'h', q: 'q', x: 128, y: 256, z: 512 };

function parseMemory(token: string, otherwise: Size | undefined): Pattern {
  if (token === 'mem') return { memory: true };
  const match = /^m(\d+|[vhq])?(?:\[([vhqxyz])\])?$/.exec(token);
  invariant(match, () => `memory operand ${token}`);
  const size = match[1];
  return {
    memory: true,
    memorySize: size === undefined ? otherwise : size in VECTOR_SIZES ? VECTOR_SIZES[size] : Number(size),
    vectorIndex: match[2] === undefined ? undefined : VECTOR_SIZES[match[2]],
  };
}

function parseRegister(token: string): Pattern {
  if (token in VECTOR_SIZES) return { register: 'vector', registerSize: VECTOR_SIZES[token] };
  if (token === 'k') return { register: 'mask' };
  if (token === 'r') return { register: 'general', registerSize: 'r' };
  if (token === 'a') return { register: 'general', registerSize: 'r', fixed: 0 };
  if (token === 'al') return { register: 'general', registerSize: 8, fixed: 0 };
  if (token === 'cl') return { register: 'general', registerSize: 8, fixed: 1 };
  const match = /^r(8|16|32|64)$/.exec(token);
  invariant(match, () => `register operand ${token}`);
  return { register: 'general', registerSize: Number(match[1]) };
}

/** `inherited`: the size of a memory operand written without one. */
function parseOperand(token: string, inherited: Size): Pattern {
  if (token === '1') return { immediate: 'one' };
  if (/^i(b|bs|w|d|q|s|z)$/.test(token)) return { immediate: token as Pattern['immediate'] };
  if (token === 'rel8') return { relative: 8 };
  if (token === 'rel32') return { relative: 32 };
  if (token.startsWith('m')) return parseMemory(token, inherited);
  const slash = token.indexOf('/');
  if (slash < 0) return parseRegister(token);
  const register = parseRegister(token.slice(0, slash));
  return { ...register, ...parseMemory(token.slice(slash + 1), register.registerSize) };
}

const PREFIXES = { NP: 0, '66': 0x66, F3: 0xf3, F2: 0xf2 } as const;
const MAPS = { '0': 0, '0F': 1, '0F38': 2, '0F3A': 3 } as const;

/** With all fields: patterns have one shape, which code that looks at many of them is faster with. */
function uniform(pattern: Pattern): Pattern {
  const { register, registerSize, fixed, memory, memorySize, sizeNeeded, vectorIndex, immediate, relative } = pattern;
  return { register, registerSize, fixed, memory, memorySize, sizeNeeded, vectorIndex, immediate, relative };
}

/** `mov [rax], 5` could mean 8, 16, 32 or 64 bits; `mov [rax], cl` only 8. The rows of the operand size need a size anyway. */
function withSizeNeeded(operands: readonly Pattern[]): readonly Pattern[] {
  return operands.map((pattern) => {
    const { memory, memorySize } = pattern;
    if (!memory || (memorySize !== 8 && memorySize !== 16)) return pattern;
    const said = operands.some((p) => p !== pattern && p.fixed === undefined && p.registerSize === memorySize);
    return uniform({ ...pattern, sizeNeeded: !said });
  });
}

function fixedSizeOf(operands: readonly Pattern[]): number {
  for (const pattern of operands) {
    if (pattern.register === 'general' && pattern.registerSize !== undefined) return Number(pattern.registerSize);
    if (operands.length <= 2 && pattern.memory && typeof pattern.memorySize === 'number') return pattern.memorySize;
  }
  return 64;
}

/** @throws InternalError for a row that is not in the notation above. */
export function parseRow(name: string, text: string): Row {
  const middle = text.indexOf('=');
  const [places = '', ...operandTokens] = text.slice(0, middle).split(' ').filter(Boolean);
  const [header, opcode, ...attributes] = text.slice(middle + 2).split(' ');
  const [prefix, map, w] = header.split('.');
  const [code, extension] = opcode.split('/');
  const vectors = operandTokens.some((token) => /^[vhq](\/|$)/.test(token) || token.endsWith('[v]'));
  const operands = operandTokens.map((token) => uniform(parseOperand(token, vectors ? 'v' : 'r')));
  invariant(prefix in PREFIXES && map in MAPS && places.length === operands.length, () => `row ${name}: ${text}`);

  invariant(w === undefined || ['W0', 'W1', 'W01'].includes(w), () => `row ${name}: ${w}`);
  const row: { -readonly [key in keyof Row]: Row[key] } = {
    name,
    evexName: name,
    places,
    operands,
    prefix: PREFIXES[prefix as keyof typeof PREFIXES],
    map: MAPS[map as keyof typeof MAPS],
    opcode: Number.parseInt(code, 16),
    extension: extension === undefined ? undefined : Number(extension),
    suffix: undefined,
    back: undefined,
    bySize: !vectors && operands.some((p) => p.registerSize === 'r' || p.memorySize === 'r'),
    fixedSize: fixedSizeOf(operands),
    sizeInW: operands.some(
      (p) => p.registerSize === 'r' || p.memorySize === 'r' || (p.register === 'general' && p.registerSize === 64),
    ),
    vexW: w === undefined ? undefined : w === 'W1' ? 1 : 0,
    evexW: w === 'W1' || w === 'W01' ? 1 : 0,
    length: Math.max(128, ...operands.map((p) => (p.register === 'vector' ? Number(p.registerSize) || 0 : 0))),
    byWidth: vectors,
    minimum: 128,
    vex: undefined,
    evex: undefined,
    legacyNeeds: undefined,
    mask: 'none',
    broadcast: undefined,
    rounding: undefined,
    lock: false,
    text,
  };
  const special = attributes.map((attribute) => {
    const [key, value] = attribute.split('=');
    const part = value === undefined ? FLAGS[attribute] : VALUES[key]?.(value);
    invariant(part, () => `row ${name}: attribute ${attribute}`);
    return part;
  });
  // All rows have the same fields in the same order.
  for (const part of special) Object.assign(row, part);
  if (row.vex === undefined && row.evex === undefined) row.operands = withSizeNeeded(operands);
  return row;
}
