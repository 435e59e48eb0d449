import { basename, extname } from 'node:path';
import type { ByteSource } from './byte-source.js';
import { isZip, openZip } from './zip.js';

/** Kinds of files that models and weights come in. */
export type FileKind = 'safetensors' | 'keras' | 'npz' | 'pytorch' | 'onnx';

/** What recognising looks at. */
interface Probe {
  /** The file's own name, which tells what the content leaves open. */
  readonly name: string;
  readonly first: Uint8Array;
  /** Names of the entries of a zip archive; empty for other files. */
  readonly entries: readonly string[];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** In the order in which they are asked. */
const SIGNS: readonly (readonly [FileKind, (probe: Probe) => boolean])[] = [
  [
    'safetensors',
    ({ first }) => first.length > 8 && text(first.subarray(8, 9)) === '{' && first[7] === 0 && first[6] === 0,
  ],
  [
    'keras',
    ({ entries, first, name }) =>
      entries.includes('model.weights.h5') ||
      text(first.subarray(0, 8)) === '\x89HDF\r\n\x1a\n' ||
      (extname(name).toLowerCase() === '.json' && /^\s*\{/.test(text(first))),
  ],
  ['npz', ({ entries }) => entries.length > 0 && entries.every((name) => name.endsWith('.npy'))],
  [
    'pytorch',
    ({ entries, first }) =>
      entries.some((name) => /(^|\/)data\.pkl$/.test(name)) || (first[0] === 0x80 && first[1] <= 5),
  ],
  // Version of the file format, and producer; other files may begin so, too.
  [
    'onnx',
    ({ first, name }) =>
      extname(name).toLowerCase() === '.onnx' || (first[0] === 0x08 && first[1] < 0x20 && first[2] === 0x12),
  ],
];

/**
 * Which kind of file it is, by its content; undefined for others.
 *
 * @param name of the file, where its content leaves that open; default: that of its path
 */
export async function recognise(
  source: ByteSource,
  name: string = basename(source.where),
): Promise<FileKind | undefined> {
  const first = await source.read(0, Math.min(source.size, 1024));
  const probe = { name, first, entries: isZip(first) ? [...(await openZip(source)).keys()] : [] };
  return SIGNS.find(([, matches]) => matches(probe))?.[0];
}
