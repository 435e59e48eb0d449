/**
 * Python's pickles (https://docs.python.org/3/library/pickletools.html, protocols 0 to 5) as data: a stack machine that builds
 * lists, dictionaries and the like, and executes nothing. What a pickle asks to import is looked up in a table that the caller
 * gives; there is no way from a name in the file to code. Time and memory are linear in the number of bytes.
 */
import { FileError } from '../../tensor/errors.js';

/** Anything in a pickle. Lists are arrays, dictionaries are maps; `object` is what the caller's functions make. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleGlobal
  | object;

export class PickleTuple {
  readonly items: readonly PickleValue[];

  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** Something that a pickle imports. */
export interface PickleGlobal {
  /** For example `collections.OrderedDict`. */
  readonly global: string;
  /** What calling it gives; without it, it cannot be called. */
  readonly call?: (args: readonly PickleValue[]) => PickleValue;
}

export interface PickleRules {
  /** Named in messages. */
  readonly where: string;
  /** What `module.name` stands for. @throws FileError for what is not allowed. */
  global(module: string, name: string): PickleGlobal;
  /** What an identifier of something outside of the pickle stands for. */
  persistent(id: PickleValue): PickleValue;
  /** Takes over the state of an object that a global made; without it there are none with state. */
  build?(object: PickleValue, state: PickleValue): void;
}

/** Integers beyond this many bytes mean nothing here, and cost quadratic time to convert. */
const LONGEST_INTEGER = 64;
const MARK = Symbol('mark');
type Slot = PickleValue | typeof MARK;

/** The value of the one pickle at the beginning of `bytes`. @throws FileError for anything that is not plain data. */
export function readPickle(bytes: Uint8Array, rules: PickleRules): PickleValue {
  return new Machine(bytes, rules).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rules: PickleRules;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#rules = rules;
  }

  run(): PickleValue {
    for (;;) {
      const start = this.#at;
      const code = this.#bytes[this.#take(1)];
      if (code === STOP) return this.#pop();
      const step = STEPS.get(code);
      if (step === undefined) {
        const name = REFUSED[code];
        this.fail(`byte ${start}: ${name ?? `0x${code.toString(16).padStart(2, '0')} is no instruction`}`);
      }
      step(this);
    }
  }

  fail(what: string): never {
    throw new FileError(`${this.#rules.where}: the pickle cannot be read: ${what}`);
  }

  /** The position of the next `count` bytes. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) {
      this.fail(`byte ${at}: ${count} bytes are wanted, ${this.#bytes.length - at} are left; it is cut short`);
    }
    this.#at += count;
    return at;
  }

  take(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  uint(width: 1 | 2 | 4 | 8): number {
    const at = this.#take(width);
    if (width === 1) return this.#view.getUint8(at);
    if (width === 2) return this.#view.getUint16(at, true);
    if (width === 4) return this.#view.getUint32(at, true);
    const value = this.#view.getBigUint64(at, true);
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? this.fail(`byte ${at}: a length of ${value}`) : Number(value);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  text(count: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.take(count));
  }

  /** Up to the end of the line. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) this.fail(`byte ${this.#at}: a line does not end; it is cut short`);
    const text = this.text(end - this.#at);
    this.#take(1);
    return text;
  }

  /** Two's complement, little-endian. */
  long(count: number): number | bigint {
    if (count > LONGEST_INTEGER) this.fail(`byte ${this.#at}: an integer of ${count} bytes`);
    const bytes = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    return exactly(BigInt.asIntN(8 * count, value));
  }

  decimal(text: string): number | bigint {
    if (!/^[+-]?\d{1,150}L?$/.test(text)) this.fail(`${JSON.stringify(text.slice(0, 40))} is no integer`);
    return exactly(BigInt(text.replace(/^\+|L$/g, '')));
  }

  push(value: Slot): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) this.fail(`byte ${this.#at}: the stack is empty`);
    return value as PickleValue;
  }

  pop(): PickleValue {
    return this.#pop();
  }

  discard(): void {
    if (this.#stack.pop() === undefined) this.fail(`byte ${this.#at}: the stack is empty`);
  }

  top(): PickleValue {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  /** Everything above the topmost mark, which goes, too. */
  popMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) this.fail(`byte ${this.#at}: there is no mark on the stack`);
    const items = this.#stack.splice(at) as PickleValue[];
    items.shift();
    return items;
  }

  put(index: number): void {
    this.#memo.set(index, this.top());
  }

  memoize(): void {
    this.put(this.#memo.size);
  }

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.fail(`byte ${this.#at}: there is nothing numbered ${index}`);
    this.push(value);
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) this.fail(`byte ${this.#at}: appends to what is no list`);
    for (const item of items) list.push(item);
  }

  /** Keys and values in turn. */
  setItems(items: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0)
      this.fail(`byte ${this.#at}: sets items of what is no dictionary`);
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  addItems(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) this.fail(`byte ${this.#at}: adds to what is no set`);
    for (const item of items) set.add(item);
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string') this.fail(`byte ${this.#at}: an import without a name`);
    this.push(this.#rules.global(module, name));
  }

  call(callee: PickleValue, args: PickleValue): void {
    if (!isGlobal(callee)) this.fail(`byte ${this.#at}: calls what was not imported`);
    if (!(args instanceof PickleTuple)) this.fail(`byte ${this.#at}: calls ${callee.global} without a tuple`);
    if (callee.call === undefined) this.fail(`it calls ${callee.global}, which is not among what may be made of data`);
    this.push(callee.call(args.items));
  }

  persistent(id: PickleValue): void {
    this.push(this.#rules.persistent(id));
  }

  build(): void {
    const state = this.pop();
    const object = this.top();
    // Attributes of dictionaries, such as the `_metadata` of state_dict(), are no part of the data.
    if (object instanceof Map) return;
    if (this.#rules.build === undefined) this.fail(`byte ${this.#at}: sets the state of an object`);
    this.#rules.build(object, state);
  }
}

function isGlobal(value: PickleValue): value is PickleGlobal {
  return typeof value === 'object' && value !== null && 'global' in value;
}

/** A number where that is exact. */
function exactly(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const STOP = 0x2e;
type Step = (m: Machine) => void;
const code = (letter: string): number => letter.charCodeAt(0);

const STEPS: ReadonlyMap<number, Step> = new Map<number, Step>([
  // protocol and frames
  [0x80, (m) => checkProtocol(m, m.uint(1))],
  [0x95, (m) => void m.uint(8)],
  // the stack
  [code('('), (m) => m.push(MARK)],
  [code('0'), (m) => m.discard()],
  [code('1'), (m) => void m.popMark()],
  [code('2'), (m) => m.push(m.top())],
  [code('p'), (m) => m.put(Number(m.decimal(m.line())))],
  [code('q'), (m) => m.put(m.uint(1))],
  [code('r'), (m) => m.put(m.uint(4))],
  [0x94, (m) => m.memoize()],
  [code('g'), (m) => m.get(Number(m.decimal(m.line())))],
  [code('h'), (m) => m.get(m.uint(1))],
  [code('j'), (m) => m.get(m.uint(4))],
  // numbers
  [code('N'), (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [code('I'), (m) => pushInteger(m, m.line())],
  [code('L'), (m) => m.push(m.decimal(m.line()))],
  [code('J'), (m) => m.push(m.int32())],
  [code('K'), (m) => m.push(m.uint(1))],
  [code('M'), (m) => m.push(m.uint(2))],
  [0x8a, (m) => m.push(m.long(m.uint(1)))],
  [0x8b, (m) => m.push(m.long(m.uint(4)))],
  [code('F'), (m) => m.push(Number(m.line()))],
  [code('G'), (m) => m.push(m.float64())],
  // texts and bytes
  [code('S'), (m) => m.push(m.line().slice(1, -1))],
  [code('T'), (m) => m.push(m.text(m.uint(4)))],
  [code('U'), (m) => m.push(m.text(m.uint(1)))],
  [code('V'), (m) => m.push(m.line())],
  [code('X'), (m) => m.push(m.text(m.uint(4)))],
  [0x8c, (m) => m.push(m.text(m.uint(1)))],
  [0x8d, (m) => m.push(m.text(m.uint(8)))],
  [code('B'), (m) => m.push(m.take(m.uint(4)))],
  [code('C'), (m) => m.push(m.take(m.uint(1)))],
  [0x8e, (m) => m.push(m.take(m.uint(8)))],
  [0x96, (m) => m.push(m.take(m.uint(8)))],
  // containers
  [code(']'), (m) => m.push([])],
  [code('l'), (m) => m.push(m.popMark())],
  [code('a'), (m) => m.append([m.pop()])],
  [code('e'), (m) => m.append(m.popMark())],
  [code(')'), (m) => m.push(new PickleTuple([]))],
  [code('t'), (m) => m.push(new PickleTuple(m.popMark()))],
  [0x85, (m) => m.push(new PickleTuple([m.pop()]))],
  [0x86, (m) => pushTuple(m, 2)],
  [0x87, (m) => pushTuple(m, 3)],
  [code('}'), (m) => m.push(new Map())],
  [code('d'), (m) => pushItems(m)],
  [code('s'), (m) => m.setItems(popped(m, 2))],
  [code('u'), (m) => m.setItems(m.popMark())],
  [0x8f, (m) => m.push(new Set())],
  [0x90, (m) => m.addItems(m.popMark())],
  [0x91, (m) => m.push(new Set(m.popMark()))],
  // what is imported, made and referred to
  [code('c'), (m) => m.global(m.line(), m.line())],
  [0x93, (m) => m.global(...(popped(m, 2) as [PickleValue, PickleValue]))],
  [code('R'), (m) => m.call(...(popped(m, 2) as [PickleValue, PickleValue]))],
  [0x81, (m) => m.call(...(popped(m, 2) as [PickleValue, PickleValue]))],
  [code('b'), (m) => m.build()],
  [code('P'), (m) => m.persistent(m.line())],
  [code('Q'), (m) => m.persistent(m.pop())],
]);

const REFUSED: Readonly<Record<number, string>> = {
  [code('i')]: 'makes an object of a class (INST)',
  [code('o')]: 'makes an object of a class (OBJ)',
  146: 'makes an object of a class with named arguments (NEWOBJ_EX)',
  130: 'uses the extension registry (EXT1)',
  131: 'uses the extension registry (EXT2)',
  132: 'uses the extension registry (EXT4)',
  151: 'wants a buffer from outside (NEXT_BUFFER)',
  152: 'wants a buffer from outside (READONLY_BUFFER)',
};

function checkProtocol(m: Machine, version: number): void {
  if (version > 5) m.fail(`it is of protocol ${version}; 0 to 5 are known`);
}

/** Booleans of old protocols are the integers 00 and 01. */
function pushInteger(m: Machine, text: string): void {
  m.push(text === '00' ? false : text === '01' ? true : m.decimal(text));
}

function popped(m: Machine, count: number): PickleValue[] {
  const items: PickleValue[] = [];
  for (let i = 0; i < count; i++) items.unshift(m.pop());
  return items;
}

function pushTuple(m: Machine, count: number): void {
  m.push(new PickleTuple(popped(m, count)));
}

function pushItems(m: Machine): void {
  const items = m.popMark();
  m.push(new Map());
  m.setItems(items);
}
