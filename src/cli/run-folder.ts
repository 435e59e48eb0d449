import { appendFile, mkdir, readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { reasonOf } from '../formats/atomic-write.js';
import { FileError } from '../tensor/errors.js';

/** Where one training leaves what it makes. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get model(): string {
    return join(this.path, 'model.safetensors');
  }

  get checkpoint(): string {
    return join(this.path, 'checkpoint.safetensors');
  }

  get log(): string {
    return join(this.path, 'log.jsonl');
  }

  get report(): string {
    return join(this.path, 'report.html');
  }

  /** Adds one line to the log. */
  async append(event: object): Promise<void> {
    try {
      await appendFile(this.log, `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    } catch (error) {
      throw fileError(this.log, 'cannot be written', error);
    }
  }
}

/** A folder for a new training: `out`, which must not hold another one, or the first free `runs/<data>-<model>-<n>`. */
export async function createRunFolder(out: string | undefined, data: string, model: string): Promise<RunFolder> {
  if (out !== undefined) return new RunFolder(await claim(out));
  const name = `${basename(resolve(data)).replace(/[^\p{L}\p{N}._-]+/gu, '-') || 'data'}-${model}`;
  await make('runs', true);
  for (let n = 1; ; n++) {
    const path = join('runs', `${name}-${n}`);
    if (await make(path, false)) return new RunFolder(path);
  }
}

async function claim(out: string): Promise<string> {
  await make(out, true);
  const taken = (await readdir(out)).filter((name) => /^(model|checkpoint)\.safetensors$|^log\.jsonl$/.test(name));
  if (taken.length > 0) {
    throw new FileError(
      `${out}: holds a training already (${taken.join(', ')}); give another folder with --out, or go on with it: gabor train --resume --out ${shellWord(out)}`,
    );
  }
  return out;
}

/** Returns false where it is there already, which is an error only for what is no folder. */
async function make(path: string, may: boolean): Promise<boolean> {
  try {
    await mkdir(path, { recursive: may });
    return true;
  } catch (error) {
    if (!may && (error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError(path, 'cannot make this folder', error);
  }
}

/** A message for what the operating system refused. */
export function fileError(path: string, what: string, error: unknown): FileError {
  const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  return new FileError(missing ? `${path}: there is no such file` : `${path}: ${what}: ${reasonOf(error)}`, {
    cause: error,
  });
}

/** As one word of a shell's command line. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
