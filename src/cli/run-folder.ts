import { appendFile, readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { makeFolder, makeFolders } from '../formats/folders.js';
import { FileError } from '../tensor/errors.js';
import { fileError } from './files.js';

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

/** Throws where `out` holds a training already or is no folder; before work is done that would be lost. */
export async function checkFree(out: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(out);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw fileError(out, 'cannot be a run folder', error);
  }
  const taken = names.filter((name) => /^(model|checkpoint)\.safetensors$|^log\.jsonl$/.test(name));
  if (taken.length > 0) {
    throw new FileError(
      `${out}: holds a training already (${taken.join(', ')}); give another folder with --out, or go on with it: gabor train --resume --out ${shellWord(out)}`,
    );
  }
}

/** A folder for a new training: `out`, or the first free `runs/<data>-<model>-<n>`. */
export async function createRunFolder(out: string | undefined, data: string, model: string): Promise<RunFolder> {
  if (out !== undefined) {
    await checkFree(out);
    await makeFolders(out);
    return new RunFolder(out);
  }
  const name = `${basename(resolve(data)).replace(/[^\p{L}\p{N}._-]+/gu, '-') || 'data'}-${model}`;
  await makeFolders('runs');
  for (let n = 1; ; n++) {
    const path = join('runs', `${name}-${n}`);
    if (await makeFolder(path)) return new RunFolder(path);
  }
}

/** As one word of a shell's command line. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
