import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { BARRIER_YIELD } from '../targets/cpu/x64/barrier.js';
import { GaborError, OptionError } from '../tensor/errors.js';
import { nativeSumProgram } from '../testing/native-programs.js';
import { emptyProgram, sumProgram, TABLE } from '../testing/programs.js';
import { DeviceMemory } from './memory.js';
import { codeBytesInUse } from './native/code.js';
import { nativeLibrary } from './native/library.js';
import { ThreadPool } from './pool.js';
import type { ProgramSource } from './program.js';
import { wasm } from './webassembly.js';

const spawned: Worker[] = [];
process.on('worker', (worker) => spawned.push(worker));

const [RESULT, TRAP, PAUSE, TARGET] = [TABLE.result, TABLE.trap, TABLE.pause, TABLE.target].map((bytes) => bytes / 4);

/** A program and how it fails. */
interface Kind {
  readonly name: string;
  readonly source: ProgramSource;
  /** Whether a failed run ends by itself. */
  readonly abort: boolean;
  readonly failure: string;
}

const library = nativeLibrary();
const ABORTABLE: readonly Kind[] = [
  { name: 'with abort', source: sumProgram(true), abort: true, failure: 'unreachable' },
  ...(typeof library === 'string'
    ? []
    : [
        {
          name: 'in machine code',
          source: nativeSumProgram(library.abi),
          abort: true,
          failure: 'the run was aborted',
        },
      ]),
];
const KINDS: readonly Kind[] = [
  ...ABORTABLE,
  { name: 'without abort', source: sumProgram(false), abort: false, failure: 'unreachable' },
];

interface Table {
  readonly address: number;
  readonly words: Int32Array;
  /** Zeroes it, but for what machine code keeps there. */
  clear(): void;
}

interface Bench {
  readonly memory: DeviceMemory;
  readonly pool: ThreadPool;
  table(): Table;
}

function bench(t: TestContext, threads: number): Bench {
  const memory = new DeviceMemory({ initial: 1 });
  const pool = new ThreadPool(memory, threads);
  t.after(() => pool.close());
  const table = (): Table => {
    const address = memory.allocate(192);
    const words = memory.view('i32', address, 48);
    const clear = (): void => {
      words.fill(0);
      if (typeof library === 'string') return;
      const yields = new BigUint64Array(1).fill(library.yieldFunction);
      words.set(new Int32Array(yields.buffer), BARRIER_YIELD / 4);
    };
    clear();
    return { address, words, clear };
  };
  return { memory, pool, table };
}

const sumTo = (n: number): number => (n * (n + 1)) / 2;
const programFailed = (thread: number, failure: string) => (error: unknown) =>
  error instanceof GaborError &&
  error.message.includes(`failed on thread ${thread}: ${failure}`) &&
  error.cause instanceof Error;

for (const threads of [1, 2, 4]) {
  for (const { name, source } of KINDS) {
    test(`all ${threads} threads run together, ${name}`, async (t) => {
      const { pool, table } = bench(t, threads);
      assert.equal(pool.threads, threads);
      const program = pool.load(source);
      const { address, words } = table();
      for (let i = 0; i < 20; i++) await pool.run(program, address);
      assert.equal(words[RESULT], 20 * sumTo(threads));
      for (let i = 0; i < 20; i++) pool.runSync(program, address);
      assert.equal(words[RESULT], 40 * sumTo(threads));
    });
  }
}

test('a blocking run is the first one of all, so threads start while the event loop is blocked', (t) => {
  for (const { source } of KINDS) {
    const { pool, table } = bench(t, 3);
    const { address, words } = table();
    pool.runSync(pool.load(source), address);
    assert.equal(words[RESULT], 6);
  }
});

test('with one thread a blocking run needs no worker', (t) => {
  const { pool, table } = bench(t, 1);
  const before = spawned.length;
  const { address, words } = table();
  pool.runSync(pool.load(sumProgram(false)), address);
  assert.equal(words[RESULT], 1);
  assert.equal(spawned.length, before);
});

test('light runs are done by the calling thread until the others are up, which start beside the second one', async (t) => {
  for (const { source } of KINDS) {
    const { pool, table } = bench(t, 3);
    const before = spawned.length;
    const program = pool.load(source);
    const { address, words } = table();
    pool.runSync(program, address, true);
    assert.equal(words[RESULT], 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(spawned.length, before);
    pool.runSync(program, address, true);
    assert.equal(words[RESULT], 2);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(spawned.length > before);
    await pool.ready();
    pool.runSync(program, address, true);
    assert.equal(words[RESULT], 2 + sumTo(3));
  }
});

test('light runs that nobody blocks for, too, and those behind other runs wait for these', async (t) => {
  for (const { source } of KINDS) {
    const { pool, table } = bench(t, 3);
    const before = spawned.length;
    const program = pool.load(source);
    const { address, words } = table();
    await pool.run(program, address, true);
    assert.equal(words[RESULT], 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(spawned.length, before);
    await pool.run(program, address, true);
    assert.equal(words[RESULT], 2);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(spawned.length > before);
    const other = bench(t, 3);
    const [heavy, light] = [other.pool.load(source), other.pool.load(source)];
    const target = other.table();
    await Promise.all([other.pool.run(heavy, target.address), other.pool.run(light, target.address, true)]);
    assert.equal(target.words[RESULT], 2 * sumTo(3));
  }
});

test('runs of several callers and programs happen in the order of the calls', async (t) => {
  const { pool, table } = bench(t, 2);
  const compiled = new wasm.Module(sumProgram(true));
  const programs = [pool.load(compiled), pool.load(KINDS[1].source), pool.load(emptyProgram(false))];
  const tables = [table(), table(), table()];
  const order: number[] = [];
  const runs = Array.from({ length: 30 }, (_, i) =>
    pool.run(programs[i % 3], tables[i % 3].address).then(() => order.push(i)),
  );
  // Comes after all of them, whether or not the event loop had a turn.
  pool.runSync(programs[0], tables[0].address);
  assert.equal(tables[0].words[RESULT], 33);
  assert.equal(tables[1].words[RESULT], 30);
  assert.equal(tables[2].words[RESULT], 0);
  await Promise.all(runs);
  assert.deepEqual(order, [...Array(30).keys()]);
  await Promise.all(runs.map((_, i) => pool.run(programs[i % 3], tables[i % 3].address)));
  assert.equal(tables[0].words[RESULT], 63);
});

for (const { name, source } of ABORTABLE) {
  test(`the event loop turns while a run is pending, and between runs that never wait, ${name}`, async (t) => {
    const { pool, table } = bench(t, 2);
    const { address, words } = table();
    const program = pool.load(source);
    words[PAUSE] = 1;
    const run = pool.run(program, address);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(words[RESULT], 0);
    Atomics.store(words, PAUSE, 0);
    Atomics.notify(words, PAUSE);
    await run;
    assert.equal(words[RESULT], 3);
    let turned = false;
    setTimeout(() => {
      turned = true;
    }, 5);
    for (let i = 0; i < 1e6 && !turned; i++) await pool.run(program, address);
    assert.ok(turned);
  });
}

for (const { name, source } of ABORTABLE) {
  test(`blocking runs may end the run that someone waits for, and more, ${name}`, async (t) => {
    const { pool, table } = bench(t, 2);
    const { address, words } = table();
    const program = pool.load(source);
    await pool.ready();
    words[PAUSE] = 1;
    const run = pool.run(program, address);
    await new Promise((resolve) => setTimeout(resolve, 20));
    Atomics.store(words, PAUSE, 0);
    Atomics.notify(words, PAUSE);
    for (let i = 0; i < 3; i++) pool.runSync(program, address);
    assert.equal(words[RESULT], 12);
    await run;
    await pool.run(program, address);
    assert.equal(words[RESULT], 15);
  });
}

for (const { name, source } of ABORTABLE) {
  test(`programs see memory that grew after the threads started, also above 2 GiB, ${name}`, async (t) => {
    const { memory, pool, table } = bench(t, 2);
    const program = pool.load(source);
    const { address, words } = table();
    await pool.run(program, address);
    const low = memory.allocate(2 ** 31);
    const high = memory.allocate(64);
    assert.ok(high > 2 ** 31);
    words[TARGET] = high;
    await pool.run(program, address);
    assert.deepEqual([...memory.view('i32', high, 2)], [1, 2]);
    memory.view('i32', high, 2).fill(0);
    pool.runSync(program, address);
    assert.deepEqual([...memory.view('i32', high, 2)], [1, 2]);
    memory.free(low);
    const far = memory.allocate(3 * 2 ** 29);
    const { address: farTable, words: farWords } = table();
    assert.ok(far > 2 ** 31 || farTable > 2 ** 31);
    await pool.run(program, farTable);
    assert.equal(farWords[RESULT], 3);
  });
}

for (const { name, source, abort, failure } of KINDS) {
  test(`a trap of any thread ends the run and the pool goes on, ${name}`, async (t) => {
    const { pool, table } = bench(t, 3);
    const { address, words, clear } = table();
    const resets: number[] = [];
    const program = pool.load(source, (at) => {
      resets.push(at);
      clear();
    });
    const other = pool.load(source);
    const { address: otherTable, words: otherWords } = table();
    await pool.ready();
    const before = spawned.length;
    for (let thread = 0; thread < 3; thread++) {
      words[TRAP] = thread + 1;
      const failing = pool.run(program, address);
      const next = pool.run(other, otherTable);
      await assert.rejects(failing, programFailed(thread, failure));
      await next;
      await pool.run(program, address);
      assert.equal(words[RESULT], 6);
    }
    assert.equal(otherWords[RESULT], 18);
    assert.deepEqual(resets, [address, address, address]);
    // Threads are replaced only where they may be caught in a barrier.
    assert.equal(spawned.length - before, abort ? 0 : 9);
  });
}

for (const { name, source, failure } of ABORTABLE) {
  test(`a trap in a blocking run, ${name}`, async (t) => {
    const { pool, table } = bench(t, 3);
    const before = spawned.length;
    const { address, words, clear } = table();
    const program = pool.load(source, clear);
    for (let thread = 0; thread < 3; thread++) {
      words[TRAP] = thread + 1;
      assert.throws(() => pool.runSync(program, address), programFailed(thread, failure));
      pool.runSync(program, address);
      assert.equal(words[RESULT], 6);
    }
    await new Promise((resolve) => setTimeout(resolve)); // `worker` events come on the next tick
    assert.equal(spawned.length - before, 2);
  });
}

test('a trap in a blocking run, without abort', async (t) => {
  const { pool, table } = bench(t, 2);
  const { address, words, clear } = table();
  const program = pool.load(sumProgram(false), clear);
  for (let thread = 0; thread < 2; thread++) {
    words[TRAP] = thread + 1;
    assert.throws(() => pool.runSync(program, address), programFailed(thread, 'unreachable'));
    assert.throws(() => pool.runSync(program, address), /await pool\.ready\(\)/);
    await pool.ready();
    pool.runSync(program, address);
    assert.equal(words[RESULT], 3);
  }
});

for (const { name, source } of KINDS) {
  test(`a thread that never comes to a run does not leave the others in the barrier, ${name}`, async (t) => {
    const { pool, table } = bench(t, 3);
    const { address, words, clear } = table();
    const program = pool.load(source, clear);
    for (let i = 0; i < 3; i++) {
      await pool.ready();
      // It ends on its way from one run to the next, while the others arrive in the barrier.
      spawned.at(-1 - i)!.terminate();
      await assert.rejects(pool.run(program, address), /ended unexpectedly/);
      await pool.run(program, address);
      assert.equal(words[RESULT], 6);
    }
  });
}

for (const { name, source, failure } of ABORTABLE) {
  test(`a run that fails while a blocking one waits for it rejects its own promise only, ${name}`, async (t) => {
    const { pool, table } = bench(t, 2);
    const { address, words, clear } = table();
    const program = pool.load(source, clear);
    words[TRAP] = 2;
    const failing = pool.run(program, address);
    const after = pool.run(program, address);
    pool.runSync(program, address);
    assert.equal(words[RESULT], 6);
    await assert.rejects(failing, programFailed(1, failure));
    await after;
  });
}

for (const { name, source, failure } of KINDS) {
  test(`one thread: a trap is an error in both kinds of runs, ${name}`, async (t) => {
    const { pool, table } = bench(t, 1);
    const { address, words, clear } = table();
    const program = pool.load(source, clear);
    for (let i = 0; i < 2; i++) {
      words[TRAP] = 1;
      assert.throws(() => pool.runSync(program, address), programFailed(0, failure));
      words[TRAP] = 1;
      await assert.rejects(pool.run(program, address), programFailed(0, failure));
      await pool.run(program, address);
      assert.equal(words[RESULT], 1);
    }
  });
}

for (const { name, source } of ABORTABLE) {
  test(`a thread that is killed in a run, or between runs, is no deadlock, ${name}`, async (t) => {
    const { pool, table } = bench(t, 2);
    const { address, words, clear } = table();
    const program = pool.load(source, clear);
    await pool.ready();
    words[PAUSE] = 1;
    const pending = pool.run(program, address);
    spawned.at(-1)!.terminate();
    // Machine code cannot be interrupted: that thread ends when it comes back from the run.
    if (name === 'in machine code') setTimeout(() => Atomics.store(words, PAUSE, 0), 30);
    await assert.rejects(
      pending,
      (error: Error) => error instanceof GaborError && /worker thread 1 ended unexpectedly/.test(error.message),
    );
    assert.equal(words[PAUSE], 0);
    await pool.run(program, address);
    assert.equal(words[RESULT], 3);
    await spawned.at(-1)!.terminate();
    await pool.run(program, address);
    assert.equal(words[RESULT], 6);
    // Killed, but the event loop had no turn to tell: found out while waiting.
    spawned.at(-1)!.terminate();
    await assert.rejects(pool.run(program, address), GaborError);
    await pool.run(program, address);
  });
}

for (const { name, source } of ABORTABLE) {
  test(`close waits for runs; afterwards, and with foreign or unloaded programs, calls are errors, ${name}`, async (t) => {
    const { pool, table } = bench(t, 2);
    const { address, words } = table();
    const program = pool.load(source);
    const gone = pool.load(source);
    const last = pool.run(gone, address);
    pool.unload(gone);
    await last;
    await assert.rejects(pool.run(gone, address), /not loaded/);
    assert.throws(() => pool.unload(gone), /not loaded/);
    const foreign = bench(t, 1);
    assert.throws(() => foreign.pool.runSync(program, address), /not loaded/);
    const run = pool.run(program, address);
    await Promise.all([pool.close(), pool.close()]);
    assert.equal(words[RESULT], 6);
    await run;
    await assert.rejects(pool.run(program, address), /closed/);
    assert.throws(() => pool.runSync(program, address), /closed/);
    assert.throws(() => pool.load(emptyProgram(false)), /closed/);
    await assert.rejects(pool.ready(), /closed/);
  });
}

test('the code of an unloaded program stays until no thread is inside any more', async (t) => {
  if (typeof library === 'string') return t.skip(library);
  const { pool, table } = bench(t, 2);
  const { address, words, clear } = table();
  const program = pool.load(nativeSumProgram(library.abi), clear);
  await pool.run(program, address);
  const loaded = codeBytesInUse();
  // One thread stays inside, the other one never comes.
  words[PAUSE] = 1;
  const lost = spawned.at(-1)!;
  const ended = once(lost, 'exit');
  lost.terminate();
  let over = false;
  const failed = assert.rejects(pool.run(program, address), /ended unexpectedly/).finally(() => {
    over = true;
  });
  pool.unload(program);
  await ended;
  await new Promise((resolve) => setTimeout(resolve, 20));
  // On a busy machine the run may be over before the other thread came to it.
  if (!over) assert.equal(codeBytesInUse(), loaded);
  Atomics.store(words, PAUSE, 0);
  await failed;
  assert.ok(codeBytesInUse() < loaded);
});

test('threads can be ended at any moment of their start', async (t) => {
  if (typeof library === 'string') return t.skip(library);
  for (let round = 0; round < 24; round++) {
    const pool = new ThreadPool(new DeviceMemory({ initial: 1 }), 3);
    pool.load(nativeSumProgram(library.abi));
    const ready = pool.ready().catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 4 * round));
    await pool.close();
    const failure = await ready;
    if (failure !== undefined) assert.match((failure as Error).message, /closed/);
  }
});

test('modules that do not fit are refused when they are loaded', (t) => {
  const { pool, memory } = bench(t, 1);
  assert.throws(() => pool.load(new Uint8Array([1, 2, 3])), /not a module/);
  assert.throws(() => pool.load(emptyProgram(false, true, 'storage')), /imports memory "env.storage"/);
  assert.throws(() => pool.load(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])), /exports a function run/);
  assert.throws(() => pool.load(emptyProgram(false, false)), /cannot link/);
  for (const threads of [0, 1.5, 1e9, Number.NaN]) assert.throws(() => new ThreadPool(memory, threads), OptionError);
});

test('without shared memory everything runs on the calling thread', async () => {
  const memory = new DeviceMemory({ shared: false });
  const pool = new ThreadPool(memory, 4);
  assert.equal(pool.threads, 1);
  const program = pool.load(emptyProgram(false, false));
  const before = spawned.length;
  pool.runSync(program, 64);
  await pool.run(program, 64);
  await pool.ready();
  await pool.close();
  assert.equal(spawned.length, before);
});

test('a pending run keeps the process alive, an idle pool does not', async () => {
  const script = `
    import { DeviceMemory } from '${new URL('./memory.js', import.meta.url)}';
    import { ThreadPool } from '${new URL('./pool.js', import.meta.url)}';
    import { sumProgram } from '${new URL('../testing/programs.js', import.meta.url)}';
    const memory = new DeviceMemory();
    const pool = new ThreadPool(memory, 2);
    const program = pool.load(sumProgram(true));
    const table = memory.allocate(192);
    const words = memory.view('i32', table, 48);
    words.fill(0);
    pool.run(program, table)
      .then(() => pool.run(program, table))
      .then(() => { pool.runSync(program, table); console.log(words[${RESULT}]); });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
  });
  assert.equal(stdout, '9\n');
});

test('the process can end while threads start', async (t) => {
  if (typeof library === 'string') return t.skip(library);
  const script = `
    import { DeviceMemory } from '${new URL('./memory.js', import.meta.url)}';
    import { ThreadPool } from '${new URL('./pool.js', import.meta.url)}';
    import { nativeSumProgram } from '${new URL('../testing/native-programs.js', import.meta.url)}';
    const memory = new DeviceMemory();
    const pool = new ThreadPool(memory, 3);
    const program = pool.load(nativeSumProgram('${library.abi}'));
    const table = memory.allocate(192);
    memory.view('i32', table, 48).fill(0);
    pool.run(program, table).catch(() => {});
    setTimeout(() => process.exit(7), Number(process.argv[1]));`;
  for (const delay of [10, 20, 30, 40, 60, 80]) {
    const ended = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, `${delay}`], {
      timeout: 30_000,
    });
    await assert.rejects(ended, (error: { code?: unknown }) => error.code === 7);
  }
});

test('the process can end while threads wait in machine code for one that never comes', async (t) => {
  if (typeof library === 'string') return t.skip(library);
  const script = `
    import { DeviceMemory } from '${new URL('./memory.js', import.meta.url)}';
    import { ThreadPool } from '${new URL('./pool.js', import.meta.url)}';
    import { nativeSumProgram } from '${new URL('../testing/native-programs.js', import.meta.url)}';
    const workers = [];
    process.on('worker', (worker) => workers.push(worker));
    const memory = new DeviceMemory();
    const pool = new ThreadPool(memory, 3);
    const program = pool.load(nativeSumProgram('${library.abi}'));
    const table = memory.allocate(192);
    memory.view('i32', table, 48).fill(0);
    await pool.run(program, table);
    workers.at(-1).terminate();
    await new Promise((resolve) => setTimeout(resolve));
    pool.run(program, table).catch(() => {});
    setImmediate(() => process.exit(7));`;
  const process = promisify(execFile)(globalThis.process.execPath, ['--input-type=module', '-e', script], {
    timeout: 30_000,
  });
  await assert.rejects(process, (error: { code?: unknown }) => error.code === 7);
});
