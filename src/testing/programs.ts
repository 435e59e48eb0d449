/**
 * Tiny programs for the tests of the pool, assembled by hand (machine code: `native-programs.ts`). Words of a table: 0, 4 the barrier (arrivals,
 * generation), 8 abort flag of modules, 12, 16 the rest of the barrier of machine code, and what {@link TABLE} names; 64… one slot per thread.
 */
/** Words of a table, in bytes: the result, the thread that fails plus one, wait while this is 1, an address to write to. */
export const TABLE = { result: 24, trap: 28, pause: 32, target: 36, slots: 64 } as const;

const I32 = 0x7f;
const GET = 0x20;
const ATOMIC = 0xfe;
const load = (offset: number): number[] => [GET, 2, ATOMIC, 0x10, 2, offset];
const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
const vector = (items: number[][]): number[] => [...leb(items.length), ...items.flat()];
const sized = (bytes: number[]): number[] => [...leb(bytes.length), ...bytes];
const text = (s: string): number[] => sized([...Buffer.from(s)]);
const section = (id: number, bytes: number[]): number[] => [id, ...sized(bytes)];

/** local 0 thread, 1 threads, 2 table, 3 generation; traps when the abort flag is set. */
const BARRIER = [
  // The generation first: `abort` sets its flag and then counts up, so whoever misses the flag does not sleep.
  ...[...load(4), 0x21, 3],
  ...[...load(8), 0x04, 0x40, 0x00, 0x0b],
  // if (add(table, 1) === threads - 1)
  ...[GET, 2, 0x41, 1, ATOMIC, 0x1e, 2, 0, 0x41, 1, 0x6a, GET, 1, 0x46, 0x04, 0x40],
  ...[GET, 2, 0x41, 0, ATOMIC, 0x17, 2, 0],
  ...[GET, 2, 0x41, 1, ATOMIC, 0x1e, 2, 4, 0x1a],
  ...[GET, 2, 0x41, 0x7f, ATOMIC, 0x00, 2, 4, 0x1a],
  // else loop: wait32(table + 4, generation, -1)
  ...[0x05, 0x03, 0x40],
  ...[GET, 2, GET, 3, 0x42, 0x7f, ATOMIC, 0x01, 2, 4, 0x1a],
  ...[...load(8), 0x04, 0x40, 0x00, 0x0b],
  ...[...load(4), GET, 3, 0x46, 0x0d, 0],
  ...[0x0b, 0x0b],
];

const RUN = [
  // trap if (thread + 1 === trap)
  ...[...load(TABLE.trap), GET, 0, 0x41, 1, 0x6a, 0x46, 0x04, 0x40, 0x00, 0x0b],
  // wait while pause is 1
  ...[GET, 2, 0x41, 1, 0x42, 0x7f, ATOMIC, 0x01, 2, TABLE.pause, 0x1a],
  // slot[thread] = thread + 1
  ...[GET, 2, GET, 0, 0x41, 2, 0x74, 0x6a, GET, 0, 0x41, 1, 0x6a, 0x36, 2, TABLE.slots],
  ...BARRIER,
  // result += slot[(thread + 1) % threads]
  ...[
    GET,
    2,
    GET,
    2,
    GET,
    0,
    0x41,
    1,
    0x6a,
    GET,
    1,
    0x70,
    0x41,
    2,
    0x74,
    0x6a,
    0x28,
    2,
    TABLE.slots,
    ATOMIC,
    0x1e,
    2,
    TABLE.result,
    0x1a,
  ],
  // if (target) target[thread] = thread + 1
  ...[...load(TABLE.target), 0x04, 0x40],
  ...[...load(TABLE.target), GET, 0, 0x41, 2, 0x74, 0x6a, GET, 0, 0x41, 1, 0x6a, 0x36, 2, 0, 0x0b],
];

/** local 0 table: sets the flag and wakes everyone. */
const ABORT = [
  ...[GET, 0, 0x41, 1, ATOMIC, 0x17, 2, 8],
  ...[GET, 0, 0x41, 1, ATOMIC, 0x1e, 2, 4, 0x1a, GET, 0, 0x41, 0x7f, ATOMIC, 0x00, 2, 4, 0x1a],
];

function assemble(run: number[], abort: boolean, shared: boolean, importName = 'memory'): Uint8Array<ArrayBuffer> {
  const exported = [[...text('run'), 0, 0], ...(abort ? [[...text('abort'), 0, 1]] : [])];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector([
        [0x60, 3, I32, I32, I32, 0],
        [0x60, 1, I32, 0],
      ]),
    ),
    ...section(2, vector([[...text('env'), ...text(importName), 2, shared ? 3 : 1, 0, ...leb(65536)]])),
    ...section(3, vector([[0], [1]])),
    ...section(7, vector(exported)),
    ...section(10, vector([sized([1, 1, I32, ...run, 0x0b]), sized([0, ...ABORT, 0x0b])])),
  ]);
}

/** Adds 1 + 2 + … + threads to the result, if every thread runs and the barrier holds. */
export const sumProgram = (abort: boolean): Uint8Array<ArrayBuffer> => assemble(RUN, abort, true);
/** Does nothing; `importName` other than `memory` is one that pools refuse. */
export const emptyProgram = (abort: boolean, shared = true, importName = 'memory'): Uint8Array<ArrayBuffer> =>
  assemble([], abort, shared, importName);
