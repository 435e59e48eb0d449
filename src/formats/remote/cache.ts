import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder, readText, replaceText } from '../../runtime/host.js';
import { syncFolder } from '../atomic-write.js';
import { makeFolders } from '../folders.js';
import type { Address } from './address.js';

/** What names a version of a file, and proves it. */
export interface Version {
  readonly etag?: string;
  readonly lastModified?: string;
  /** Of a large file of the Hugging Face Hub: the sha256 of its content, which the hub says before it sends one elsewhere. */
  readonly linked?: string;
}

/** A file in the cache. */
export interface CachedFile {
  readonly path: string;
  readonly sha256: string;
  readonly version: Version;
}

/** What lies beside every file, as JSON. */
interface About extends Version {
  readonly format: typeof FORMAT;
  /** For people. */
  readonly url: string;
  readonly sha256: string;
  readonly size: number;
  /** In milliseconds since 1970. */
  readonly modified: number;
}

const FORMAT = 'gabor download 1';

/**
 * Downloaded files: `files/FOLDER/NAME`, with files that lie beside each other on the net beside each other here, too; `about/KEY.json`,
 * what is known of each; `partial/`, what has arrived of others ({@link PartialFile}). All may be deleted at any time.
 */
export class DownloadCache {
  /** Of the downloads. */
  readonly root: string;

  /** @param folder default: the system's place for caches */
  constructor(folder: string = cacheFolder()) {
    this.root = join(folder, 'downloads');
  }

  /** Of files that are arriving. */
  get partialFolder(): string {
    return join(this.root, 'partial');
  }

  pathOf({ folder, path }: Address): string {
    return join(this.root, 'files', folder, ...path.split('/'));
  }

  /** The file as it was when it came; undefined where there is none, or somebody changed it since. */
  async find(address: Address): Promise<CachedFile | undefined> {
    const path = this.pathOf(address);
    const [about, facts] = [this.#read(address), await stat(path).catch(() => undefined)];
    if (about === undefined || facts?.isFile() !== true || facts.size !== about.size) return undefined;
    // Times are lost where caches are copied, and two processes that fetched different versions at once may have mixed them up.
    if (facts.mtimeMs !== about.modified) {
      if ((await hashFile(path)) !== about.sha256) return undefined;
      try {
        this.#write(address, { ...about, modified: facts.mtimeMs });
      } catch {
        // A cache that nobody can write to: its files are read through each time.
      }
    }
    const { etag, lastModified, linked, sha256 } = about;
    return { path, sha256, version: { etag, lastModified, linked } };
  }

  /** Moves a whole file to its place. */
  async keep(address: Address, file: string, sha256: string, version: Version): Promise<string> {
    const path = this.pathOf(address);
    const { size, mtimeMs: modified } = await stat(file);
    await makeFolders(dirname(path));
    await rename(file, path);
    await syncFolder(dirname(path));
    this.#write(address, { format: FORMAT, url: address.shown, ...version, sha256, size, modified });
    return path;
  }

  #aboutPath({ key }: Address): string {
    return join(this.root, 'about', `${key}.json`);
  }

  #read(address: Address): About | undefined {
    try {
      const about: unknown = JSON.parse(readText(this.#aboutPath(address)) ?? 'null');
      return isAbout(about) ? about : undefined;
    } catch {
      return undefined; // it is fetched anew
    }
  }

  #write(address: Address, about: About): void {
    replaceText(this.#aboutPath(address), `${JSON.stringify(about, undefined, 1)}\n`);
  }
}

function isAbout(value: unknown): value is About {
  if (typeof value !== 'object' || value === null) return false;
  const { format, sha256, size, modified, etag, lastModified, linked } = value as Record<string, unknown>;
  const texts = [etag, lastModified, linked].every((text) => text === undefined || typeof text === 'string');
  return (
    format === FORMAT && typeof sha256 === 'string' && typeof size === 'number' && typeof modified === 'number' && texts
  );
}

/** The sha256 of a file, read in parts. */
async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
