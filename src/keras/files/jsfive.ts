import { Inflate } from 'fflate';

// What is used of jsfive, which has no types of its own, with a limit to what compressed arrays unpack to.

/** Headers of an object; nothing of it is documented. */
export interface JsfiveHeaders {
  readonly chunks: readonly number[] | null;
  readonly filter_pipeline: readonly unknown[] | null;
  _vlen_size_and_data(buffer: ArrayBuffer, offset: number): [size: number, data: ArrayBuffer | undefined];
}

export interface JsfiveGroup {
  readonly keys: string[];
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly _dataobjects: JsfiveHeaders;
  get(name: string): JsfiveGroup | JsfiveDataset | null;
}

export interface JsfiveDataset {
  readonly shape: number[];
  /** such as `<f4`; a list for what is no number and no text of one length */
  readonly dtype: string | readonly unknown[];
  readonly value: ArrayLike<number>;
  readonly _dataobjects: JsfiveHeaders;
}

type Filter = (data: ArrayBuffer, itemSize: number) => ArrayBuffer;

export interface Jsfive {
  readonly File: new (buffer: ArrayBuffer, name: string) => JsfiveGroup;
  readonly Dataset: new (...args: never) => JsfiveDataset;
  /** by their number in HDF5's registry; may be added to */
  readonly Filters: Map<number, Filter>;
}

const DEFLATE = 1;
/** Bytes to unpack at a time, at most to 1032 times as many. */
const STEP = 1 << 13;
let loading: Promise<Jsfive> | undefined;

/** Loads the library when it is first needed. */
export function loadJsfive(): Promise<Jsfive> {
  loading ??= import('jsfive').then((jsfive: Jsfive) => {
    const unlimited = jsfive.Filters.get(DEFLATE);
    // Others in this process may use the library, too.
    jsfive.Filters.set(DEFLATE, (data, itemSize) =>
      chunkBytes === undefined && unlimited !== undefined ? unlimited(data, itemSize) : inflate(data, chunkBytes ?? 0),
    );
    return jsfive;
  });
  return loading;
}

let chunkBytes: number | undefined;

/** Runs `body`, in which every chunk has to unpack to so many bytes. */
export function withChunks<T>(bytes: number, body: () => T): T {
  chunkBytes = bytes;
  try {
    return body();
  } finally {
    chunkBytes = undefined;
  }
}

function inflate(data: ArrayBuffer, length: number): ArrayBuffer {
  const packed = new Uint8Array(data);
  const out = new Uint8Array(length);
  let at = 0;
  const inflator = new Inflate((part) => {
    out.set(part.subarray(0, length - at), at);
    at += part.length;
  });
  // Two bytes of zlib in front, a checksum behind.
  const end = packed.length - 4;
  for (let i = 2; i < end && at <= length; i += STEP) {
    inflator.push(packed.subarray(i, Math.min(i + STEP, end)), i + STEP >= end);
  }
  if (at !== length) throw new Error(`a chunk of ${length} bytes unpacks to ${at > length ? 'more' : at}`);
  return out.buffer;
}
