// The child's side of protocol.mjs for contestants in JavaScript: `node child.mjs MODULE`.
import { createInterface } from 'node:readline';
import { writeFloats } from './arrays.mjs';
import { Unsupported } from './protocol.mjs';
import { median } from './statistics.mjs';

// Only answers go to standard output, whatever libraries print.
console.log = console.info = console.debug = console.warn = console.error;

let contestant;
const tasks = new Map();

const methods = {
  async open({ module, ...options }) {
    contestant = await (await import(module)).open(options);
    return { version: contestant.version, caches: contestant.caches?.() };
  },
  async prepare({ key, task }) {
    tasks.set(key, await contestant.prepare(task));
    return {};
  },
  async check({ key, file }) {
    const result = await tasks.get(key).check();
    if (Array.isArray(result)) return { numbers: result };
    writeFloats(file, result);
    return {};
  },
  time,
  async release({ key }) {
    await tasks.get(key).release?.();
    tasks.delete(key);
    return {};
  },
};

async function time({ key, seconds, minimum }) {
  const task = tasks.get(key);
  const times = [];
  const end = performance.now() + seconds * 1000;
  let now = 0;
  do {
    const began = performance.now();
    const pending = task.run();
    if (pending instanceof Promise) await pending;
    now = performance.now();
    times.push(now - began);
  } while (now < end || times.length < minimum);
  return { median: median(times), minimum: Math.min(...times), runs: times.length };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, parameters } = JSON.parse(line);
  let answer;
  try {
    answer = { id, result: await methods[method](parameters ?? {}) };
  } catch (error) {
    answer = { id, error: error?.message ?? String(error), unsupported: error instanceof Unsupported };
    if (!answer.unsupported) console.error(error);
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
