import { setTimeout as sleep } from 'node:timers/promises';
import { warn } from '../../runtime/host.js';
import { checkOptions, FileError, OptionError } from '../../tensor/errors.js';
import type { Siblings } from '../siblings.js';
import { type Address, parseAddress, siblingAddress } from './address.js';
import type { CachedFile } from './cache.js';
import type { PassingError } from './request.js';

/** How far a download is. */
export interface FetchProgress {
  /** The file's name. */
  readonly file: string;
  /** Bytes that have arrived, those of earlier attempts included. */
  readonly received: number;
  /** Bytes of the whole file; undefined where the server does not say. */
  readonly total: number | undefined;
}

/** Options of {@link fetchFile} and {@link siblingsOf}. */
export interface FetchFileOptions {
  /** What the file's sha256 must be, in hexadecimal digits. A file in the cache that has it is taken without asking the server. */
  readonly sha256?: string;
  /** Called when bytes arrive. */
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Stops the download, which rejects with the signal's reason. What has arrived stays for the next time. */
  readonly signal?: AbortSignal;
  /** The folder of the cache; default: `GABOR_CACHE`, or the system's place for caches. */
  readonly cache?: string;
  /** Sent to the address's own server (`Authorization: Bearer …`); default for the Hugging Face Hub: `HF_TOKEN`. */
  readonly token?: string;
  /** Whether files may come unencrypted from other machines than this one. Default false. */
  readonly allowHttp?: boolean;
  /** Further attempts after the server fails (5xx, 429) or the connection breaks. Default 3. */
  readonly retries?: number;
  /** Seconds before the first of them; twice as many before each of the others, or as the server says. Default 0.5. */
  readonly retryDelay?: number;
  /** Seconds without a byte after which a connection counts as broken. Default 60. */
  readonly timeout?: number;
  /** Told when the copy in the cache is used since the server cannot be reached. Default: a warning of the process. */
  readonly onNote?: (text: string) => void;
}

const OPTIONS: readonly (keyof FetchFileOptions)[] = [
  'sha256',
  'onProgress',
  'signal',
  'cache',
  'token',
  'allowHttp',
  'retries',
  'retryDelay',
  'timeout',
  'onNote',
];

/** Seconds; a server that wants more is not waited for. */
const LONGEST_WAIT = 60;
/** Bytes after which a broken connection is no reason to give up. */
const HEADWAY = 2 ** 20;

/**
 * Downloads a file into the cache, unless it is there already, and returns its path. Files that lie beside each other on the net do so in the
 * cache, too ({@link siblingsOf}).
 *
 * A file in the cache is taken when the server confirms that it has no newer one (`If-None-Match`), without asking when the address names a
 * commit of the hub or `sha256` fits, and with a note when the server cannot be reached. An interrupted download goes on where it
 * ended, if the server still has the same version (`Range`, `If-Range`). What arrives is checked: its length, `sha256`, and the
 * sha256 that the hub gives for large files; what is wrong is not kept.
 *
 * @param url `https://…`; `hf://owner/name/file[@revision]`, a file of the Hugging Face Hub (at `HF_ENDPOINT`, if that is set), by default
 *   of its branch `main`; `http://…` on this machine
 * @throws FileError that says what the server answered, or which check failed; OptionError for what is no such address
 * @example
 * const path = await fetchFile('hf://onnx-community/squeezenet/squeezenet1.1.onnx');
 */
export async function fetchFile(url: string, options: FetchFileOptions = {}): Promise<string> {
  checkFetchOptions(options);
  return fetchAddress(parseAddress(url, options.allowHttp ?? false), options);
}

/**
 * Fetches what lies beside a file on the net, when a reader asks for it: each file once.
 *
 * @param url as for {@link fetchFile}
 * @param options as for {@link fetchFile}; `sha256` is that of the first file and does not concern the others
 * @example
 * const model = await loadOnnx(await fetchFile(url), { siblings: siblingsOf(url) });
 */
export function siblingsOf(url: string, options: FetchFileOptions = {}): Siblings {
  checkFetchOptions(options);
  const address = parseAddress(url, options.allowHttp ?? false);
  // Readers may ask for the same file many times, also at once.
  const asked = new Map<string, Promise<string>>();
  return (name) => {
    const path = asked.get(name) ?? fetchSibling(address, name, options);
    asked.set(name, path);
    path.catch(() => asked.delete(name));
    return path;
  };
}

async function fetchSibling(address: Address, name: string, options: FetchFileOptions): Promise<string> {
  return fetchAddress(siblingAddress(address, name), { ...options, sha256: undefined });
}

async function fetchAddress(address: Address, options: FetchFileOptions): Promise<string> {
  const { signal, retries = 3, retryDelay = 0.5, timeout = 60, onNote = warn, token, allowHttp = false } = options;
  const sha256 = options.sha256?.toLowerCase();
  signal?.throwIfAborted();
  // Loaded by those who download.
  const [{ DownloadCache }, { Download, wrongHash }, { PassingError }] = await Promise.all([
    import('./cache.js'),
    import('./download.js'),
    import('./request.js'),
  ]);
  const cache = new DownloadCache(options.cache);
  const cached = await cache.find(address);
  if (cached !== undefined && cached.sha256 === sha256) return cached.path;
  if (cached !== undefined && address.fixed) {
    if (sha256 !== undefined) throw new FileError(wrongHash(address.shown, sha256, cached.sha256));
    return cached.path;
  }
  const file = address.path.slice(address.path.lastIndexOf('/') + 1);
  const onProgress = (received: number, total: number | undefined): void =>
    options.onProgress?.({ file, received, total });
  const download = new Download(address, { sha256, token, allowHttp, timeout, signal, onProgress }, cache);
  for (let attempts = 1, failures = 1, before = 0; ; attempts++, failures++) {
    try {
      return await download.attempt(cached);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PassingError)) throw error;
      if (download.received - before >= HEADWAY) failures = 1;
      before = download.received;
      const own = retryDelay * 2 ** (failures - 1) * (0.75 + Math.random() / 2);
      const wait = Math.max(Math.min(own, LONGEST_WAIT), (error.wait ?? 0) / 1000);
      if (error.offline || failures > retries || wait > LONGEST_WAIT) {
        return giveUp(address, cached, sha256, error, attempts, download.left, onNote);
      }
      await sleep(1000 * wait, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

/** Takes the copy in the cache, or says why there is nothing. */
function giveUp(
  address: Address,
  cached: CachedFile | undefined,
  sha256: string | undefined,
  error: PassingError,
  attempts: number,
  left: string,
  onNote: (text: string) => void,
): string {
  if (cached !== undefined && sha256 === undefined) {
    onNote(`${address.shown} cannot be fetched (${error.message}); the copy in the cache is used, which may be older`);
    return cached.path;
  }
  const parts = [
    `cannot fetch ${address.shown}: ${error.message}`,
    ...(attempts > 1 ? [`given up after ${attempts} attempts`] : []),
    ...(error.wait !== undefined && error.wait > 1000 * LONGEST_WAIT
      ? [`the server asks to come back in ${Math.ceil(error.wait / 1000)} s`]
      : []),
    ...(left === '' ? [] : [left]),
  ];
  throw new FileError(parts.join('; '), { cause: error });
}

function checkFetchOptions(options: FetchFileOptions): void {
  checkOptions('fetchFile', options, OPTIONS);
  const { sha256, retries = 0, retryDelay = 0, timeout = 1 } = options;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new OptionError(`fetchFile: sha256 must be 64 hexadecimal digits, got "${sha256}"`);
  }
  if (!(Number.isInteger(retries) && retries >= 0)) {
    throw new OptionError(`fetchFile: retries must be a whole number ≥ 0, got ${retries}`);
  }
  if (!(retryDelay >= 0 && Number.isFinite(retryDelay))) {
    throw new OptionError(`fetchFile: retryDelay must be seconds ≥ 0, got ${retryDelay}`);
  }
  if (!(timeout > 0 && timeout <= 86_400)) {
    throw new OptionError(`fetchFile: timeout must be seconds from above 0 to 86400, got ${timeout}`);
  }
}
