import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Unsupported } from './protocol.mjs';

const child = fileURLToPath(new URL('child.mjs', import.meta.url));

/** The parent's side of protocol.mjs: one library with one number of threads, in a process of its own. */
export class Contestant {
  version = '';
  /** Of the contestant that measures ceilings. */
  caches;
  #process;
  #pending = new Map();
  #nextId = 1;
  #errors = '';
  /** Why the process is no more. */
  #ended;

  /**
   * @param file a module for Node, or a Python script
   * @param options what else its `open` is told
   */
  constructor(name, file, threads, options = {}) {
    this.name = name;
    this.threads = threads;
    this.file = file;
    this.options = options;
  }

  get label() {
    return `${this.name}, ${this.threads} thread${this.threads === 1 ? '' : 's'}`;
  }

  /** Tries one interpreter after the other until the library opens. */
  async open() {
    const python = this.file.endsWith('.py');
    const candidates = python
      ? [process.env.PYTHON, 'python3', '/usr/bin/python3'].filter(Boolean)
      : [process.execPath];
    let reason;
    for (const command of candidates) {
      this.#start(command, python ? [fileURLToPath(this.file)] : [child]);
      try {
        ({ version: this.version, caches: this.caches } = await this.call('open', {
          ...this.options,
          module: this.file,
          threads: this.threads,
        }));
        return this;
      } catch (error) {
        reason ??= error;
        this.close();
      }
    }
    throw reason;
  }

  call(method, parameters = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) throw new Error(this.#ended);
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#process.stdin.write(`${JSON.stringify({ id, method, parameters })}\n`);
    });
  }

  close() {
    this.#process?.kill();
  }

  #start(command, args) {
    const started = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process = started;
    this.#ended = undefined;
    this.#errors = '';
    started.stderr.on('data', (data) => {
      this.#errors = (this.#errors + data).slice(-4000);
      if (process.env.BENCH_DEBUG) process.stderr.write(data);
    });
    started.stdin.on('error', () => undefined);
    createInterface({ input: started.stdout }).on('line', (line) => this.#receive(line));
    const fail = (why) => {
      this.#ended = why;
      for (const { reject } of this.#pending.values()) reject(new Error(`${why}${this.#lastWords()}`));
      this.#pending.clear();
    };
    started.on('error', (error) => {
      if (this.#process === started) fail(error.message);
    });
    started.on('exit', (code, signal) => {
      if (this.#process === started) fail(`the process ended with ${signal ?? code}`);
    });
  }

  #lastWords() {
    const last = this.#errors.trim().split('\n').at(-1);
    return last ? `: ${last}` : '';
  }

  #receive(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      return; // something a library printed
    }
    const waiting = this.#pending.get(message?.id);
    if (waiting === undefined) return;
    this.#pending.delete(message.id);
    if (message.error === undefined) waiting.resolve(message.result);
    else waiting.reject(message.unsupported ? new Unsupported(message.error) : new Error(message.error));
  }
}
