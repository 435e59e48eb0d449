import {
  GlobalAvgPool1d,
  GlobalAvgPool2d,
  GlobalAvgPool3d,
  GlobalMaxPool1d,
  GlobalMaxPool2d,
  GlobalMaxPool3d,
} from '../../nn/layers/adaptive-pooling.js';
import { AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d } from '../../nn/layers/pooling.js';
import { type PerAxis, perAxis } from '../../ops/window.js';
import { OptionError } from '../../tensor/errors.js';
import { BasicLayer, type Layer, type LayerOptions } from '../layer.js';
import { engineFormat, type KerasDataFormat } from '../shapes.js';

export interface PoolingOptions extends LayerOptions {
  /** extent of the window; default 2 */
  readonly poolSize?: PerAxis;
  /** default: the window's size */
  readonly strides?: PerAxis;
  /** `valid` (default) drops what does not fill a window, `same` gives ⌈input / stride⌉ outputs; padding never counts */
  readonly padding?: 'valid' | 'same';
  /** default `channelsLast` */
  readonly dataFormat?: KerasDataFormat;
}

export interface GlobalPoolingOptions extends LayerOptions {
  /** default `channelsLast` */
  readonly dataFormat?: KerasDataFormat;
  /** Keep the spatial axes with extent one; default false. */
  readonly keepDims?: boolean;
}

const MAX = [MaxPool1d, MaxPool2d, MaxPool3d];
const AVERAGE = [AvgPool1d, AvgPool2d, AvgPool3d];
const GLOBAL_MAX = [GlobalMaxPool1d, GlobalMaxPool2d, GlobalMaxPool3d];
const GLOBAL_AVERAGE = [GlobalAvgPool1d, GlobalAvgPool2d, GlobalAvgPool3d];

type Make = (options?: PoolingOptions) => Layer;
type MakeGlobal = (options?: GlobalPoolingOptions) => Layer;

function pooling(kind: 'max' | 'average', rank: number): Make {
  return (options = {}) => {
    const where = `${kind}Pooling${rank}d`;
    const className = `${kind === 'max' ? 'Max' : 'Average'}Pooling${rank}D`;
    const known = ['poolSize', 'strides', 'padding', 'dataFormat'];
    const layer = new BasicLayer(where, className, options, known, () => ({
      module:
        kind === 'max'
          ? new MAX[rank - 1](size, { stride, padding, dataFormat })
          : new AVERAGE[rank - 1](size, { stride, padding, dataFormat, countIncludePad: false }),
    }));
    const size = perAxis(where, 'poolSize', options.poolSize ?? 2, rank, 1);
    const stride = perAxis(where, 'strides', options.strides ?? size, rank, 1);
    const dataFormat = engineFormat(where, options.dataFormat);
    const { padding = 'valid' } = options;
    if (padding !== 'valid' && padding !== 'same') {
      throw new OptionError(`${where}: padding must be "valid" or "same", got ${JSON.stringify(padding)}`);
    }
    return layer;
  };
}

function globalPooling(kind: 'max' | 'average', rank: number): MakeGlobal {
  return (options = {}) => {
    const where = `global${kind === 'max' ? 'Max' : 'Average'}Pooling${rank}d`;
    const className = `Global${kind === 'max' ? 'Max' : 'Average'}Pooling${rank}D`;
    const layer = new BasicLayer(where, className, options, ['dataFormat', 'keepDims'], () => ({
      module: new (kind === 'max' ? GLOBAL_MAX : GLOBAL_AVERAGE)[rank - 1]({ keepDims, dataFormat }),
    }));
    const dataFormat = engineFormat(where, options.dataFormat);
    const { keepDims = false } = options;
    return layer;
  };
}

/** Largest element of every window of [batch, length, channels]. */
export const maxPooling1d: Make = pooling('max', 1);
/** Largest element of every window of [batch, height, width, channels]. */
export const maxPooling2d: Make = pooling('max', 2);
/** Largest element of every window of [batch, depth, height, width, channels]. */
export const maxPooling3d: Make = pooling('max', 3);
/** Average of every window of [batch, length, channels]. */
export const averagePooling1d: Make = pooling('average', 1);
/** Average of every window of [batch, height, width, channels]. */
export const averagePooling2d: Make = pooling('average', 2);
/** Average of every window of [batch, depth, height, width, channels]. */
export const averagePooling3d: Make = pooling('average', 3);
/** Largest element of every channel: [batch, channels]. */
export const globalMaxPooling1d: MakeGlobal = globalPooling('max', 1);
/** Largest element of every channel: [batch, channels]. */
export const globalMaxPooling2d: MakeGlobal = globalPooling('max', 2);
/** Largest element of every channel: [batch, channels]. */
export const globalMaxPooling3d: MakeGlobal = globalPooling('max', 3);
/** Average of every channel: [batch, channels]. */
export const globalAveragePooling1d: MakeGlobal = globalPooling('average', 1);
/** Average of every channel: [batch, channels]. */
export const globalAveragePooling2d: MakeGlobal = globalPooling('average', 2);
/** Average of every channel: [batch, channels]. */
export const globalAveragePooling3d: MakeGlobal = globalPooling('average', 3);

// Keras's and TensorFlow.js's other names.
export {
  averagePooling1d as avgPool1d,
  averagePooling1d as avgPooling1d,
  averagePooling2d as avgPool2d,
  averagePooling2d as avgPooling2d,
  averagePooling3d as avgPool3d,
  averagePooling3d as avgPooling3d,
  maxPooling1d as maxPool1d,
  maxPooling2d as maxPool2d,
  maxPooling3d as maxPool3d,
};
