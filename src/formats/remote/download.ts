import { FileError } from '../../tensor/errors.js';
import { reasonOf } from '../folders.js';
import type { Address } from './address.js';
import type { CachedFile, DownloadCache, Version } from './cache.js';
import { PartialFile } from './partial-file.js';
import { type Answer, connectionError, type LinkedFile, PassingError, refusal, request } from './request.js';
import { StallGuard } from './stall-guard.js';

/** What a download was asked for. */
export interface DownloadSettings {
  readonly sha256: string | undefined;
  readonly token: string | undefined;
  readonly allowHttp: boolean;
  /** Seconds without a byte after which the connection counts as broken. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (received: number, total: number | undefined) => void;
}

/** What servers that know nothing of Git LFS send in place of the file. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1';

/** Fetches one file, in as many attempts as its owner makes. */
export class Download {
  readonly #address: Address;
  readonly #settings: DownloadSettings;
  readonly #cache: DownloadCache;
  #received = 0;
  #left = '';

  constructor(address: Address, settings: DownloadSettings, cache: DownloadCache) {
    this.#address = address;
    this.#settings = settings;
    this.#cache = cache;
  }

  /** How many bytes have come, over all attempts. */
  get received(): number {
    return this.#received;
  }

  /** What the last attempt has left for the next one, in words; empty where there is nothing. */
  get left(): string {
    return this.#left;
  }

  /**
   * Asks the server for the file, or for what is missing of it, and checks what comes.
   *
   * @param cached what is there already, perhaps of an older version
   * @returns the path; that of `cached` where it is the server's version
   * @throws PassingError where another attempt may help; FileError where none does
   */
  async attempt(cached: CachedFile | undefined): Promise<string> {
    const { signal, timeout } = this.#settings;
    let partial = await this.#stored(() => PartialFile.take(this.#cache.partialFolder, this.#address.key));
    const stalled = (): PassingError => new PassingError(`nothing has come for ${timeout} s`);
    const guard = new StallGuard(1000 * timeout, signal, stalled);
    this.#left = '';
    try {
      for (;;) {
        const { response, linked, unchanged } = await this.#ask(cached, partial, guard);
        if (unchanged && cached !== undefined) {
          await response.body?.cancel();
          this.#checkHash(cached.sha256);
          return cached.path;
        }
        const begin = this.#beginOf(response, linked, partial);
        if (begin === undefined) {
          await response.body?.cancel();
          await partial?.discard();
          partial = undefined;
          continue;
        }
        const version = versionOf(response, linked);
        partial = await this.#stored(() => this.#target(partial, begin, isEncoded(response) ? {} : version));
        const problem = await this.#receive(response, linked, partial, guard);
        const whole = partial;
        partial = undefined;
        if (problem === undefined) {
          const sha256 = whole.sha256();
          return await this.#stored(() =>
            whole.finish((path) => this.#cache.keep(this.#address, path, sha256, version)),
          );
        }
        await whole.discard();
        // What was left of an earlier attempt may have been damaged.
        if (begin === 0) throw new FileError(problem);
      }
    } finally {
      guard.close();
      if (partial !== undefined) await this.#leave(partial);
    }
  }

  async #ask(
    cached: CachedFile | undefined,
    partial: PartialFile | undefined,
    guard: StallGuard,
  ): Promise<Answer & { readonly unchanged: boolean }> {
    const headers: Record<string, string> = {};
    const { etag, lastModified } = cached?.version ?? {};
    if (etag !== undefined) headers['if-none-match'] = etag;
    else if (lastModified !== undefined) headers['if-modified-since'] = lastModified;
    if (partial !== undefined) {
      headers.range = `bytes=${partial.size}-`;
      if (isStrong(partial.version.etag)) headers['if-range'] = partial.version.etag;
    }
    const { token, allowHttp, sha256 } = this.#settings;
    const isCached = (linked: LinkedFile | undefined): boolean =>
      linked !== undefined && linked.sha256 === cached?.version.linked;
    const answer = await request(this.#address, { headers, signal: guard.signal, token, allowHttp }, (linked) => {
      // Known before the first byte of a large file.
      if (linked !== undefined && sha256 !== undefined) this.#checkHash(linked.sha256);
      return !isCached(linked);
    });
    guard.touch();
    const { status, headers: given } = answer.response;
    const same = etag !== undefined && given.get('etag') === etag;
    const unchanged = cached !== undefined && (status === 304 || isCached(answer.linked) || (status === 200 && same));
    const problem = unchanged ? undefined : refusal(this.#address, answer);
    if (problem !== undefined) {
      await answer.response.body?.cancel();
      throw problem;
    }
    return { ...answer, unchanged };
  }

  /** From which byte on the answer's body is; undefined where it does not go on where `partial` ends. */
  #beginOf(response: Response, linked: LinkedFile | undefined, partial: PartialFile | undefined): number | undefined {
    if (response.status === 200) return 0;
    if (partial === undefined) {
      throw new FileError(
        `cannot fetch ${this.#address.shown}: the server answered ${response.status} although the whole file was asked for`,
      );
    }
    if (response.status !== 206 || isEncoded(response)) return undefined;
    const begin = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    const { etag, linked: hash } = partial.version;
    const sameTag = isStrong(etag) && response.headers.get('etag') === etag;
    const sameHash = hash !== undefined && hash === linked?.sha256;
    return Number(begin) === partial.size && (sameTag || sameHash) ? partial.size : undefined;
  }

  async #target(partial: PartialFile | undefined, begin: number, version: Version): Promise<PartialFile> {
    if (partial === undefined) return PartialFile.create(this.#cache.partialFolder, this.#address.key, version);
    if (begin === 0) await partial.restart(version);
    return partial;
  }

  /** Appends the body, and says what is wrong with the whole. */
  async #receive(
    response: Response,
    linked: LinkedFile | undefined,
    partial: PartialFile,
    guard: StallGuard,
  ): Promise<string | undefined> {
    const { shown, url } = this.#address;
    const told = lengthOf(response);
    if (linked?.size !== undefined && told !== undefined && told !== linked.size) {
      return `cannot fetch ${shown}: it should have ${linked.size} bytes, but ${told} are sent`;
    }
    const total = told ?? linked?.size;
    this.#settings.onProgress(partial.size, total);
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const next = await reader?.read().catch((error: unknown) => {
          throw connectionError(error, url, guard.signal);
        });
        if (next === undefined || next.done) break;
        guard.touch();
        await this.#stored(() => partial.append(next.value));
        this.#received += next.value.length;
        if (total !== undefined && partial.size > total) {
          return `cannot fetch ${shown}: it should have ${total} bytes, but more are sent`;
        }
        this.#settings.onProgress(partial.size, total);
      }
    } finally {
      await reader?.cancel().catch(() => undefined);
    }
    if (total !== undefined && partial.size < total) {
      throw new PassingError(`the connection ended after ${partial.size} of ${total} bytes`);
    }
    return this.#problemOf(response, linked, partial);
  }

  async #problemOf(
    response: Response,
    linked: LinkedFile | undefined,
    partial: PartialFile,
  ): Promise<string | undefined> {
    const { shown } = this.#address;
    const found = partial.sha256();
    for (const expected of [this.#settings.sha256, linked?.sha256]) {
      if (expected !== undefined && expected !== found) return wrongHash(shown, expected, found);
    }
    if ((await partial.head(LFS_POINTER.length)).toString('latin1') === LFS_POINTER) {
      return `${shown}: this is a pointer of Git LFS, not the file itself; use the address from which the site downloads it`;
    }
    const page = /^text\/html\b/i.test(response.headers.get('content-type') ?? '') && !/\.html?$/i.test(shown);
    return page ? `${shown}: a web page came (text/html), not a file; use the address of the file itself` : undefined;
  }

  #checkHash(found: string): void {
    const { sha256 } = this.#settings;
    if (sha256 !== undefined && found !== sha256) throw new FileError(wrongHash(this.#address.shown, sha256, found));
  }

  /** For the next attempt, where it can be told then that it is of the same version. */
  async #leave(partial: PartialFile): Promise<void> {
    const { version, size } = partial;
    const useful = size > 0 && (isStrong(version.etag) || version.linked !== undefined);
    try {
      if (!useful) return await partial.discard();
      await partial.release();
      this.#left = `${size} bytes are kept, and the next attempt goes on from there`;
    } catch {
      // The error that led here says more.
    }
  }

  /** Errors of the file system name the file and the folder. */
  async #stored<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      if (error instanceof FileError) throw error;
      throw new FileError(`cannot keep ${this.#address.shown} in ${this.#cache.root}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}

export function wrongHash(shown: string, expected: string, found: string): string {
  return `${shown}: the file is not the expected one: its sha256 is ${found}, expected ${expected}; it is not kept`;
}

function versionOf({ headers }: Response, linked: LinkedFile | undefined): Version {
  const [etag, lastModified] = [headers.get('etag'), headers.get('last-modified')];
  return { etag: etag ?? undefined, lastModified: lastModified ?? undefined, linked: linked?.sha256 };
}

/** Whether equal tags mean equal bytes (RFC 9110, 8.8.3). */
function isStrong(etag: string | undefined): etag is string {
  return etag?.startsWith('"') ?? false;
}

/** Whether what arrives is not what was sent: a server that compresses although it was asked not to. */
function isEncoded({ headers }: Response): boolean {
  return !['', 'identity'].includes((headers.get('content-encoding') ?? '').trim().toLowerCase());
}

/** Of the whole file, as far as the answer says. */
function lengthOf(response: Response): number | undefined {
  if (isEncoded(response)) return undefined;
  const { status, headers } = response;
  const text =
    status === 206 ? /\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1] : headers.get('content-length');
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}
