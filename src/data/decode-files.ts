import { readFileSync } from 'node:fs';
import { decodeBytes } from './image/decode.js';
import { readHeader } from './image/header.js';
import { type ImageFormat, preprocessImage } from './image/preprocess.js';
import { WorkerPool } from './worker-pool.js';

/** Some files to measure, or to decode into consecutive rows of `target`. */
export interface DecodeRequest {
  readonly paths: readonly string[];
  readonly decode?: {
    /** Shared memory; the first path's image goes to `row`. */
    readonly target: Uint8Array;
    readonly row: number;
    readonly format: ImageFormat;
  };
}

/** What one file is, or why it cannot be read. */
export type DecodeAnswer =
  | { readonly width: number; readonly height: number; readonly channels: 1 | 3 }
  | { readonly reason: string };

/** Files per request: enough to make messages cheap, few enough to share the work evenly. */
const CHUNK = 16;

/** Answers one request; a file that cannot be read is an answer, not an error. */
export function decodeFiles({ paths, decode }: DecodeRequest): DecodeAnswer[] {
  return paths.map((path, i) => {
    try {
      const bytes = readFileSync(path);
      if (!decode) {
        const { width, height, channels } = readHeader(bytes);
        return { width, height, channels };
      }
      const image = decodeBytes(bytes);
      const planes = preprocessImage(image, decode.format);
      decode.target.set(planes, (decode.row + i) * planes.length);
      return { width: image.width, height: image.height, channels: image.channels };
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  });
}

/** Measures and decodes lists of files on worker threads, or in this thread when there are none. */
export class FileDecoder {
  readonly #pool: WorkerPool<DecodeRequest, DecodeAnswer[]> | undefined;

  constructor(threads: number) {
    this.#pool =
      threads > 0
        ? new WorkerPool('decoding images', new URL('./decode-worker.js', import.meta.url), threads)
        : undefined;
  }

  /**
   * @param decode where to; without it files are only measured. The image of `paths[i]` goes to row `i`.
   * @returns one answer per path, in order.
   */
  async run(
    paths: readonly string[],
    decode: { readonly target: Uint8Array; readonly format: ImageFormat } | undefined,
    progress?: (done: number) => void,
  ): Promise<DecodeAnswer[]> {
    const answers: DecodeAnswer[][] = [];
    let done = 0;
    const starts = Array.from({ length: Math.ceil(paths.length / CHUNK) }, (_, i) => i * CHUNK);
    await Promise.all(
      starts.map(async (start, i) => {
        const request: DecodeRequest = {
          paths: paths.slice(start, start + CHUNK),
          ...(decode ? { decode: { ...decode, row: start } } : {}),
        };
        answers[i] = await (this.#pool ? this.#pool.run(request) : decodeFiles(request));
        done += request.paths.length;
        progress?.(done);
      }),
    );
    return answers.flat();
  }

  async close(): Promise<void> {
    await this.#pool?.close();
  }
}
