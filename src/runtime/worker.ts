/** One worker thread of a team: sleeps until it gets a run (see `control.ts`) and never returns to its event loop. */
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  ACKNOWLEDGED,
  ACTIVE,
  alive,
  asleep,
  command,
  DONE,
  ENDING,
  FAILED,
  loading,
  PROGRAM,
  posted,
  REMAINING,
  STUCK,
  spinWhile,
  TABLE,
} from './control.js';
import type { ProgramMessage, WorkerStart } from './host.js';
import { nativeLibrary } from './native/library.js';
import { instantiate } from './program.js';
import type { ProgramExports } from './program-code.js';

const { control, memory, thread, threads, port, native } = workerData as WorkerStart;
const programs = new Map<number, ProgramExports>();
let received = 0;

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Does what must not be interrupted: a thread that is ended while it loads koffi ends the whole process (a Node-API module cannot go on
 * where JavaScript no longer runs). Whoever ends threads waits for it, see `Team`.
 */
function undisturbed<T>(action: () => T): T {
  const set = (value: number): void => {
    Atomics.store(control, loading(thread), value);
    Atomics.notify(control, loading(thread));
  };
  set(1);
  // This thread says so before it looks, the other one looks after it said that it ends threads: one of the two sees the other.
  if (Atomics.load(control, ENDING) === 1) {
    set(0);
    sleep(Number.POSITIVE_INFINITY);
  }
  try {
    return action();
  } finally {
    set(0);
  }
}

/** The program with this id, after all messages that were posted before the run. */
function prepare(id: number): ProgramExports {
  for (const count = Atomics.load(control, posted(thread)); received !== count; received = (received + 1) | 0) {
    const message = receiveMessageOnPort(port)?.message as ProgramMessage | undefined;
    if (message === undefined) {
      // The port closes first when the thread is ended from outside, which the others notice: no failure of the program.
      sleep(5000);
      throw new Error('the program did not arrive');
    }
    const { id: sent, code } = message;
    if (code === undefined) programs.delete(sent);
    else
      programs.set(sent, 'machine' in code ? undisturbed(() => instantiate(code, memory)) : instantiate(code, memory));
  }
  return programs.get(id)!;
}

function acknowledge(): void {
  const active = Atomics.load(control, ACTIVE);
  if (Atomics.add(control, ACKNOWLEDGED, 1) === active - 1) Atomics.notify(control, ACKNOWLEDGED);
}

function end(run: number): void {
  Atomics.store(control, DONE, run);
  Atomics.notify(control, DONE);
}

function execute(run: number): void {
  const table = Atomics.load(control, TABLE);
  let program: ProgramExports | undefined;
  try {
    program = prepare(Atomics.load(control, PROGRAM));
    acknowledge();
    program.run(thread, threads, table);
  } catch (error) {
    port.postMessage(error);
    Atomics.compareExchange(control, FAILED, 0, thread + 1);
    if (program?.abort === undefined) {
      // Others may wait for this thread in a barrier for ever: end the run without them, the pool terminates everyone.
      Atomics.store(control, STUCK, 1);
      if (program === undefined) acknowledge();
      end(run);
      return;
    }
    program.abort(table);
  }
  if (Atomics.sub(control, REMAINING, 1) === 1) end(run);
}

if (native) undisturbed(nativeLibrary);
Atomics.store(control, alive(thread), 1);
Atomics.notify(control, alive(thread));
for (let last = 0; ; ) {
  if (!spinWhile(control, command(thread), last)) {
    Atomics.store(control, asleep(thread), 1);
    while (Atomics.load(control, command(thread)) === last) Atomics.wait(control, command(thread), last);
    Atomics.store(control, asleep(thread), 0);
  }
  last = Atomics.load(control, command(thread));
  execute(last);
}
