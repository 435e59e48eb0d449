import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encode } from 'fast-png';
import { run } from '../cli/command-line.js';
import { Output } from '../cli/output.js';
import { Random } from '../tensor/random.js';

const MAIN = fileURLToPath(new URL('../cli/main.js', import.meta.url));

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output's lines as JSON; throws where one is not. */
  events(): Record<string, unknown>[];
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with every line of standard output as it comes, for example to send a signal. */
  readonly onLine?: (line: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** Makes a line for `sh -c` of the quoted command. */
  readonly shell?: (command: string) => string;
}

/** Runs the real command line as a process of its own. */
export function gabor(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const command = [process.execPath, MAIN, ...args];
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const [program, ...rest] = options.shell === undefined ? command : ['sh', '-c', options.shell(quoted)];
  const { NO_COLOR: _n, FORCE_COLOR: _f, GABOR_DEBUG: _d, COLUMNS: _c, ...inherited } = process.env;
  const child = spawn(program, rest, { cwd: options.cwd, env: { ...inherited, ...options.env } });
  let stdout = '';
  let stderr = '';
  let pending = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    pending += text;
    const lines = pending.split('\n');
    pending = lines.pop() as string;
    for (const line of lines) options.onLine?.(line, (signal) => child.kill(signal));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      const events = (): Record<string, unknown>[] =>
        stdout
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      resolve({ status, stdout, stderr, events });
    });
  });
}

/** The same in this process: faster, for what needs neither signals nor the folder it runs in. */
export async function gaborInside(...args: string[]): Promise<CommandResult> {
  let stdout = '';
  let stderr = '';
  const output = new Output(
    args.includes('--json'),
    { write: (text) => (stdout += text) },
    { write: (text) => (stderr += text) },
  );
  const status = await run(args, output);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return { status, stdout, stderr, events: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

/** A usage error or failure: messages on standard error without a stack trace. */
export function assertFails(result: CommandResult, status: number, ...messages: RegExp[]): void {
  assert.equal(result.status, status, `status ${result.status}\n${result.stderr}\n${result.stdout}`);
  for (const message of messages) assert.match(result.stderr, message);
  assert.doesNotMatch(result.stderr, /\n\s+at .*:\d+:\d+/, 'a stack trace');
}

/** A folder that is gone when the test process ends. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'gabor-test-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** One folder of grey PNGs per class: a short bright bar at an angle of its own on a dark ground. */
export function writeImageFolder(path: string, classes: readonly string[], perClass: number, side = 16): string {
  const random = new Random(1);
  for (const [c, name] of classes.entries()) {
    mkdirSync(join(path, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const angle = (Math.PI * c) / classes.length + random.normal(0, 0.08);
      const data = Uint8Array.from({ length: side * side }, (_, p) => {
        const x = (p % side) - side / 2 + 0.5;
        const y = Math.floor(p / side) - side / 2 + 0.5;
        const distance = Math.abs(x * Math.cos(angle) + y * Math.sin(angle));
        const inside = Math.exp(-((Math.hypot(x, y) / (0.4 * side)) ** 6));
        return Math.round(240 * inside * Math.exp(-((distance / 2) ** 2)) + random.uniform(0, 12));
      });
      writeFileSync(join(path, name, `${i}.png`), encode({ width: side, height: side, channels: 1, depth: 8, data }));
    }
  }
  return path;
}
