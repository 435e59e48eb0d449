/**
 * General-purpose instructions, one row per encoding; `row.ts` gives the notation. Of several rows that fit, the first is
 * taken, so shorter encodings stand first. Source: Intel SDM volume 2.
 */

/** Condition codes in the order of their numbers (Intel SDM volume 2, appendix B, table B-10). */
export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;
export type Condition = (typeof CONDITIONS)[number];

type ConditionalName = `${'j' | 'set' | 'cmov'}${Condition}`;

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

function conditional(): Record<ConditionalName, readonly string[]> {
  const rows = {} as Record<ConditionalName, readonly string[]>;
  CONDITIONS.forEach((condition, code) => {
    rows[`j${condition}`] = [`D rel8 = NP.0 ${hex(0x70 + code)}`, `D rel32 = NP.0F ${hex(0x80 + code)}`];
    rows[`set${condition}`] = [`M r8/m8 = NP.0F ${hex(0x90 + code)}/0`];
    rows[`cmov${condition}`] = [`RM r r/m = NP.0F ${hex(0x40 + code)}`];
  });
  return rows;
}

/** add, or, adc, sbb, and, sub, xor, cmp have numbers 0–7. */
function arithmetic(number: number): readonly string[] {
  const at = (offset: number): string => hex(number * 8 + offset);
  return [
    `MR r8/m8 r8 = NP.0 ${at(0)}`,
    `MR r/m r = NP.0 ${at(1)}`,
    `RM r8 m8 = NP.0 ${at(2)}`,
    `RM r m = NP.0 ${at(3)}`,
    `XI al ib = NP.0 ${at(4)}`,
    `MI r/m ibs = NP.0 83/${number}`,
    `XI a iz = NP.0 ${at(5)}`,
    `MI r8/m8 ib = NP.0 80/${number}`,
    `MI r/m iz = NP.0 81/${number}`,
  ];
}

function locked(number: number): readonly string[] {
  return [
    `MR m8 r8 = NP.0 ${hex(number * 8)} lock`,
    `MR m r = NP.0 ${hex(number * 8 + 1)} lock`,
    `MI m ibs = NP.0 83/${number} lock`,
    `MI m8 ib = NP.0 80/${number} lock`,
    `MI m iz = NP.0 81/${number} lock`,
  ];
}

function shift(number: number): readonly string[] {
  return [
    `MX r8/m8 1 = NP.0 D0/${number}`,
    `MI r8/m8 ib = NP.0 C0/${number}`,
    `MX r8/m8 cl = NP.0 D2/${number}`,
    `MX r/m 1 = NP.0 D1/${number}`,
    `MI r/m ib = NP.0 C1/${number}`,
    `MX r/m cl = NP.0 D3/${number}`,
  ];
}

function unary(byte: number, number: number): readonly string[] {
  return [`M r8/m8 = NP.0 ${hex(byte)}/${number}`, `M r/m = NP.0 ${hex(byte + 1)}/${number}`];
}

type GeneralName =
  | 'mov'
  | 'movzx'
  | 'movsx'
  | 'movsxd'
  | 'movnti'
  | 'lea'
  | 'xchg'
  | 'push'
  | 'pop'
  | 'add'
  | 'or'
  | 'adc'
  | 'sbb'
  | 'and'
  | 'sub'
  | 'xor'
  | 'cmp'
  | 'test'
  | 'not'
  | 'neg'
  | 'mul'
  | 'imul'
  | 'div'
  | 'idiv'
  | 'inc'
  | 'dec'
  | 'cdq'
  | 'cqo'
  | 'rol'
  | 'ror'
  | 'shl'
  | 'shr'
  | 'sar'
  | 'bsf'
  | 'bsr'
  | 'popcnt'
  | 'tzcnt'
  | 'lzcnt'
  | 'andn'
  | 'bzhi'
  | 'shlx'
  | 'sarx'
  | 'shrx'
  | 'rorx'
  | 'lock add'
  | 'lock or'
  | 'lock and'
  | 'lock sub'
  | 'lock xor'
  | 'lock inc'
  | 'lock dec'
  | 'lock xadd'
  | 'lock cmpxchg'
  | 'call'
  | 'jmp'
  | 'ret'
  | 'nop'
  | 'pause'
  | 'mfence'
  | 'lfence'
  | 'sfence'
  | 'syscall'
  | 'cpuid'
  | 'xgetbv'
  | 'rdtsc'
  | 'rdtscp'
  | 'ud2'
  | 'int3'
  | 'rep movsb'
  | 'rep stosb'
  | 'prefetcht0'
  | 'prefetcht1'
  | 'prefetcht2'
  | 'prefetchnta';

export function generalRows(): Readonly<Record<GeneralName | ConditionalName, readonly string[]>> {
  return {
    ...conditional(),
    mov: [
      'MR r8/m8 r8 = NP.0 88',
      'MR r/m r = NP.0 89',
      'RM r8 m8 = NP.0 8A',
      'RM r m = NP.0 8B',
      'OI r8 ib = NP.0 B0',
      'OI r16 iw = NP.0 B8',
      'OI r32 id = NP.0 B8',
      'MI r64 is = NP.0 C7/0',
      'OI r64 iq = NP.0 B8',
      'MI m8 ib = NP.0 C6/0',
      'MI m iz = NP.0 C7/0',
    ],
    movzx: ['RM r r8/m8 = NP.0F B6', 'RM r r16/m16 = NP.0F B7'],
    movsx: ['RM r r8/m8 = NP.0F BE', 'RM r r16/m16 = NP.0F BF'],
    movsxd: ['RM r64 r32/m32 = NP.0 63'],
    movnti: ['MR m r = NP.0F C3'],
    lea: ['RM r mem = NP.0 8D'],
    xchg: ['MR r8/m8 r8 = NP.0 86', 'MR r/m r = NP.0 87'],
    push: ['O r64 = NP.0 50 W0', 'I ibs = NP.0 6A', 'I is = NP.0 68', 'M m64 = NP.0 FF/6 W0'],
    pop: ['O r64 = NP.0 58 W0', 'M m64 = NP.0 8F/0 W0'],
    add: arithmetic(0),
    or: arithmetic(1),
    adc: arithmetic(2),
    sbb: arithmetic(3),
    and: arithmetic(4),
    sub: arithmetic(5),
    xor: arithmetic(6),
    cmp: arithmetic(7),
    test: [
      'MR r8/m8 r8 = NP.0 84',
      'MR r/m r = NP.0 85',
      'XI al ib = NP.0 A8',
      'XI a iz = NP.0 A9',
      'MI r8/m8 ib = NP.0 F6/0',
      'MI r/m iz = NP.0 F7/0',
    ],
    not: unary(0xf6, 2),
    neg: unary(0xf6, 3),
    mul: unary(0xf6, 4),
    imul: ['RM r r/m = NP.0F AF', 'RMI r r/m ibs = NP.0 6B', 'RMI r r/m iz = NP.0 69', ...unary(0xf6, 5)],
    div: unary(0xf6, 6),
    idiv: unary(0xf6, 7),
    inc: unary(0xfe, 0),
    dec: unary(0xfe, 1),
    cdq: ['= NP.0 99'],
    cqo: ['= NP.0 99 W1'],
    rol: shift(0),
    ror: shift(1),
    shl: shift(4),
    shr: shift(5),
    sar: shift(7),
    bsf: ['RM r r/m = NP.0F BC'],
    bsr: ['RM r r/m = NP.0F BD'],
    popcnt: ['RM r r/m = F3.0F B8 needs=popcnt'],
    tzcnt: ['RM r r/m = F3.0F BC needs=bmi1'],
    lzcnt: ['RM r r/m = F3.0F BD needs=lzcnt'],
    andn: ['RVM r r r/m = NP.0F38 F2 bmi1'],
    bzhi: ['RMV r r/m r = NP.0F38 F5 bmi2'],
    shlx: ['RMV r r/m r = 66.0F38 F7 bmi2'],
    sarx: ['RMV r r/m r = F3.0F38 F7 bmi2'],
    shrx: ['RMV r r/m r = F2.0F38 F7 bmi2'],
    rorx: ['RMI r r/m ib = F2.0F3A F0 bmi2'],
    'lock add': locked(0),
    'lock or': locked(1),
    'lock and': locked(4),
    'lock sub': locked(5),
    'lock xor': locked(6),
    'lock inc': ['M m8 = NP.0 FE/0 lock', 'M m = NP.0 FF/0 lock'],
    'lock dec': ['M m8 = NP.0 FE/1 lock', 'M m = NP.0 FF/1 lock'],
    'lock xadd': ['MR m8 r8 = NP.0F C0 lock', 'MR m r = NP.0F C1 lock'],
    'lock cmpxchg': ['MR m8 r8 = NP.0F B0 lock', 'MR m r = NP.0F B1 lock'],
    call: ['D rel32 = NP.0 E8', 'M r64/m64 = NP.0 FF/2 W0'],
    jmp: ['D rel8 = NP.0 EB', 'D rel32 = NP.0 E9', 'M r64/m64 = NP.0 FF/4 W0'],
    ret: ['= NP.0 C3', 'I iw = NP.0 C2'],
    nop: ['= NP.0 90'],
    pause: ['= F3.0 90'],
    mfence: ['= NP.0F AE suffix=F0'],
    lfence: ['= NP.0F AE suffix=E8'],
    sfence: ['= NP.0F AE suffix=F8'],
    syscall: ['= NP.0F 05'],
    cpuid: ['= NP.0F A2'],
    xgetbv: ['= NP.0F 01 suffix=D0'],
    rdtsc: ['= NP.0F 31'],
    rdtscp: ['= NP.0F 01 suffix=F9'],
    ud2: ['= NP.0F 0B'],
    int3: ['= NP.0 CC'],
    'rep movsb': ['= F3.0 A4'],
    'rep stosb': ['= F3.0 AA'],
    prefetcht0: ['M mem = NP.0F 18/1'],
    prefetcht1: ['M mem = NP.0F 18/2'],
    prefetcht2: ['M mem = NP.0F 18/3'],
    prefetchnta: ['M mem = NP.0F 18/0'],
  };
}
