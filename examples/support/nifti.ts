import { FileError } from 'gabor';
import { decompress, isCompressed, NIFTI1, type NIFTI2, readHeader, readImage } from 'nifti-reader-js';

/** Numbers in space, x fastest. */
export interface Volume {
  readonly shape: readonly [depth: number, height: number, width: number];
  readonly data: Float32Array;
}

/** Views of elements in the byte order of nearly all machines, by NIfTI's code. */
const TYPES = new Map<number, (bytes: ArrayBuffer) => ArrayLike<number>>([
  [NIFTI1.TYPE_UINT8, (bytes) => new Uint8Array(bytes)],
  [NIFTI1.TYPE_INT16, (bytes) => new Int16Array(bytes)],
  [NIFTI1.TYPE_INT32, (bytes) => new Int32Array(bytes)],
  [NIFTI1.TYPE_FLOAT32, (bytes) => new Float32Array(bytes)],
  [NIFTI1.TYPE_FLOAT64, (bytes) => new Float64Array(bytes)],
]);

/**
 * The volume in a NIfTI file, compressed or not, with the scale that the file gives.
 *
 * @param name named in errors
 * @throws FileError for other files, and for those with more than three axes or rarer elements.
 */
export function readNifti(file: Buffer, name: string): Volume {
  let bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer;
  let header: NIFTI1 | NIFTI2 | null;
  try {
    if (isCompressed(bytes)) bytes = decompress(bytes) as ArrayBuffer;
    header = readHeader(bytes);
  } catch (error) {
    throw new FileError(`${name} is damaged or cut short`, { cause: error });
  }
  if (header === null) throw new FileError(`${name} is no NIfTI file`);
  const [axes, width, height, depth] = header.dims;
  const elements = TYPES.get(header.datatypeCode);
  if (axes !== 3 || elements === undefined || !header.littleEndian) {
    throw new FileError(
      `${name}: ${axes} axes of elements of type ${header.datatypeCode}; only volumes of plain numbers are read`,
    );
  }
  const values = elements(readImage(header, bytes) as ArrayBuffer);
  if (values.length !== width * height * depth) throw new FileError(`${name} is damaged or cut short`);
  const [slope, intercept] = header.scl_slope === 0 ? [1, 0] : [header.scl_slope, header.scl_inter];
  return { shape: [depth, height, width], data: Float32Array.from(values, (v) => v * slope + intercept) };
}

/** Puts volumes into the middle of equal boxes of zeros [depth, height, width]; what does not fit is cut off. */
export function boxed(volumes: readonly Volume[], box: readonly number[]): Float32Array {
  const [depth, height, width] = box;
  const result = new Float32Array(volumes.length * depth * height * width);
  volumes.forEach(({ shape, data }, n) => {
    const [dz, dy, dx] = shape.map((extent, axis) => Math.floor((box[axis] - extent) / 2));
    for (let i = 0; i < data.length; i++) {
      const x = (i % shape[2]) + dx;
      const y = (Math.floor(i / shape[2]) % shape[1]) + dy;
      const z = Math.floor(i / shape[2] / shape[1]) + dz;
      const inside = x >= 0 && y >= 0 && z >= 0 && x < width && y < height && z < depth;
      if (inside) result[((n * depth + z) * height + y) * width + x] = data[i];
    }
  });
  return result;
}
