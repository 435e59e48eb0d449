import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bytes, digits, markdownTable } from '../harness/table.mjs';

const LOOPS = { hand: 'a loop by hand over one compiled step', fit: '`fit` on `strokes`' };
/** The heap is not the same to the byte after every collection. One tensor left behind per step would be more than twice this. */
const HEAP_NOISE = 32 * 1024;
/** JavaScript's share of a step. */
const SHARE = 0.05;

/** Runs both loops, each with every number of threads, each in a new process. */
export async function runMemory({ threads, steps }) {
  const script = fileURLToPath(new URL('memory-loop.mjs', import.meta.url));
  const loops = [];
  for (const kind of Object.keys(LOOPS)) {
    for (const count of threads) {
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, kind, count, steps]);
      const loop = JSON.parse(stdout.trim().split('\n').at(-1));
      loops.push(loop);
      console.error(`${kind}, ${count} thread(s): ${digits(loop.elapsed / steps)} ms a step`);
    }
  }
  return { loops };
}

function share({ busy, elapsed }) {
  return busy / elapsed;
}

export function memoryMarkdown({ loops }) {
  const sections = ['### Memory and JavaScript in a steady training loop (LeNet, batch 64)'];
  for (const loop of loops) {
    const { kind, threads, steps, samples, elapsed, synchronous } = loop;
    sections.push(
      `#### ${LOOPS[kind]}, ${threads} thread${threads === 1 ? '' : 's'}`,
      markdownTable(
        ['after step', 'heap', 'array buffers', 'tensors and arenas', 'device memory', 'process'],
        samples.map((s) => [
          s.step,
          bytes(s.heapUsed),
          bytes(s.arrayBuffers),
          `${s.used.toLocaleString('en-US')} B`,
          bytes(s.capacity),
          bytes(s.rss),
        ]),
      ),
      `A step takes ${digits(elapsed / steps)} ms; the main thread is busy for ${digits((100 * loop.busy) / elapsed)} % of it` +
        (Number.isFinite(loop.processor)
          ? ` and has a processor for ${digits((100 * loop.processor) / elapsed)} %`
          : '') +
        (synchronous === undefined
          ? '.'
          : `; copying the batch in, starting the program and reading the loss take ${digits((1000 * synchronous) / steps)} µs.`),
    );
  }
  return sections.join('\n\n');
}

export function memoryGoals({ loops }) {
  return loops.flatMap((loop) => {
    const { kind, threads, samples } = loop;
    const where = `${kind === 'hand' ? 'loop' : 'fit'}, threads ${threads}`;
    // From one half to the other: some samples are taken while the next step is already running.
    const growth = (measure) => {
      const half = Math.ceil(samples.length / 2);
      const most = (list) => Math.max(...list.map(measure));
      return most(samples.slice(half)) - most(samples.slice(0, half));
    };
    const heap = growth((s) => s.heapUsed + s.arrayBuffers);
    const device = Math.max(
      growth((s) => s.used),
      growth((s) => s.capacity),
    );
    return [
      {
        what: `${where}: growth of heap and array buffers`,
        value: bytes(heap),
        wanted: `≤ ${bytes(HEAP_NOISE)}`,
        met: heap <= HEAP_NOISE,
      },
      {
        what: `${where}: growth of tensors, arenas and device memory`,
        value: bytes(device),
        wanted: '0 B',
        met: device <= 0,
      },
      {
        what: `${where}: JavaScript's share of a step`,
        value: `${(100 * share(loop)).toFixed(1)} %`,
        wanted: `< ${100 * SHARE} %`,
        met: share(loop) < SHARE,
      },
    ];
  });
}
