import { spawn } from 'node:child_process';

/**
 * Runs a program that prints a line with its outputs, and perhaps lines with further facts: objects. `ms` is the time from the start of
 * the process to the first line.
 */
export function runFresh({ command: [file, ...args], env }) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let output = '';
    let errors = '';
    let ms;
    child.stdout.on('data', (data) => {
      output += data;
      if (output.includes('\n')) ms ??= performance.now() - began;
    });
    child.stderr.on('data', (data) => {
      errors += data;
      if (process.env.BENCH_DEBUG) process.stderr.write(data);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const lines = output.split('\n');
      const numbers = lines.find((line) => line.startsWith('['));
      const facts = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
      if (numbers === undefined || ms === undefined) {
        const last = errors.split('\n').find((line) => /Error/.test(line)) ?? '';
        reject(new Error(`the process ended with ${code}: ${last}`));
      } else resolve(Object.assign({ ms, numbers: JSON.parse(numbers) }, ...facts));
    });
  });
}
