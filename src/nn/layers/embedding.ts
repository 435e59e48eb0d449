import { zeros } from '../../ops/create.js';
import { equal, greaterEqual, less, logicalAnd, stopGradient, where } from '../../ops/elementwise.js';
import { gatherRows } from '../../ops/gather.js';
import { reshape } from '../../ops/reshape.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatType } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, defined, type LayerConfig, type RandomOption } from '../config.js';
import { normal } from '../init.js';
import { Module } from '../module.js';

export interface EmbeddingOptions extends RandomOption {
  /** This row starts as zeros and is not trained; negative ones count from the end. Default none. */
  readonly paddingIdx?: number;
}

/**
 * One trained row of `embeddingDim` numbers for each of `numEmbeddings` words: i32 […] to […, embeddingDim]. As
 * `torch.nn.Embedding`. A number outside of 0 … numEmbeddings−1 gives NaN.
 */
export class Embedding extends Module {
  readonly type = 'Embedding';
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | undefined;
  /** [numEmbeddings, embeddingDim], from a standard normal distribution */
  readonly weight: Tensor;

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    checkOptions('Embedding', options, ['paddingIdx', 'random']);
    checkCount('Embedding', 'numEmbeddings', numEmbeddings);
    checkCount('Embedding', 'embeddingDim', embeddingDim);
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = checkPadding(options.paddingIdx, numEmbeddings);
    this.weight = this.parameter('weight', normal(zeros([numEmbeddings, embeddingDim]), 0, 1, options.random));
    if (this.paddingIdx !== undefined) {
      const data = this.weight.data();
      data.fill(0, this.paddingIdx * embeddingDim, (this.paddingIdx + 1) * embeddingDim);
      this.weight.write(data);
    }
  }

  forward(x: Tensor): Tensor {
    if (x.dtype !== 'i32')
      throw new ShapeError(`Embedding: needs the numbers of words as i32, got ${formatType(x.type)}`);
    const y = gatherRows(this.weight, x);
    const numbers = reshape(x, [...x.shape, 1]);
    const known = logicalAnd(greaterEqual(numbers, 0), less(numbers, this.numEmbeddings));
    const trained = this.paddingIdx === undefined ? y : where(equal(numbers, this.paddingIdx), stopGradient(y), y);
    return where(known, trained, Number.NaN);
  }

  override config(): LayerConfig {
    const { type, numEmbeddings, embeddingDim, paddingIdx } = this;
    return defined({ type, numEmbeddings, embeddingDim, paddingIdx });
  }

  static fromConfig(this: void, config: LayerConfig): Embedding {
    const { type, numEmbeddings, embeddingDim, ...options } = config;
    checkOptions(type, options, ['paddingIdx']);
    return new Embedding(numEmbeddings as number, embeddingDim as number, options as EmbeddingOptions);
  }
}

function checkPadding(index: number | undefined, rows: number): number | undefined {
  if (index === undefined) return undefined;
  if (!Number.isInteger(index) || index < -rows || index >= rows) {
    throw new OptionError(`Embedding: paddingIdx must be one of the ${rows} rows, got ${JSON.stringify(index)}`);
  }
  return index < 0 ? index + rows : index;
}
