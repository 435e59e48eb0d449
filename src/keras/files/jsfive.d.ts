/** What is used of jsfive, which has no types of its own. */
declare module 'jsfive' {
  /** Headers of an object; nothing of it is documented, and `hdf5.ts` is the only user. */
  export interface DataObjects {
    readonly offset: number;
    readonly chunks: readonly number[] | null;
    readonly filter_pipeline: readonly ReadonlyMap<string, unknown>[] | null;
    _vlen_size_and_data(buffer: ArrayBuffer, offset: number): [size: number, data: ArrayBuffer | undefined];
  }

  export class Group {
    readonly keys: string[];
    readonly attrs: Readonly<Record<string, unknown>>;
    readonly _dataobjects: DataObjects;
    get(name: string): Group | Dataset | null;
  }

  export class File extends Group {
    constructor(buffer: ArrayBuffer, name: string);
  }

  export class Dataset {
    readonly shape: number[];
    /** such as `<f4`; a list for what is no number and no text of one length */
    readonly dtype: string | readonly unknown[];
    readonly value: ArrayLike<number>;
    readonly _dataobjects: DataObjects;
  }

  /** Filters of compressed data by their number in HDF5's registry; may be added to. */
  export const Filters: Map<number, (data: ArrayBuffer, itemSize: number) => ArrayBuffer>;
}
