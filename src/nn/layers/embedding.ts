import { zeros } from '../../ops/create.js';
import { checkPaddingIdx, embedding } from '../../ops/gather.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, defined, type LayerConfig, type RandomOption } from '../config.js';
import { normal } from '../init.js';
import { Module } from '../module.js';
import type { Signature } from '../signature.js';

/** Options of {@link Embedding}. */
export interface EmbeddingOptions extends RandomOption {
  /** This row starts as zeros and is not trained; negative ones count from the end. Default none. */
  readonly paddingIdx?: number;
}

/**
 * One trained row of `embeddingDim` numbers for each of `numEmbeddings` words: i32 […] to […, embeddingDim]. As
 * `torch.nn.Embedding`. A number outside of 0 … numEmbeddings−1 gives NaN in a compiled function and is an OptionError outside.
 */
export class Embedding<Words extends number = number, Features extends number = number> extends Module<
  Signature<number, Features, number, number>
> {
  readonly type = 'Embedding';
  readonly numEmbeddings: Words;
  readonly embeddingDim: Features;
  readonly paddingIdx: number | undefined;
  /** [numEmbeddings, embeddingDim], from a standard normal distribution */
  readonly weight: Tensor;

  constructor(numEmbeddings: Words, embeddingDim: Features, options: EmbeddingOptions = {}) {
    super();
    checkOptions('Embedding', options, ['paddingIdx', 'random']);
    checkCount('Embedding', 'numEmbeddings', numEmbeddings);
    checkCount('Embedding', 'embeddingDim', embeddingDim);
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = checkPaddingIdx('Embedding', options.paddingIdx, numEmbeddings);
    this.weight = this.parameter('weight', normal(zeros([numEmbeddings, embeddingDim]), 0, 1, options.random));
    if (this.paddingIdx !== undefined) {
      const data = this.weight.data();
      data.fill(0, this.paddingIdx * embeddingDim, (this.paddingIdx + 1) * embeddingDim);
      this.weight.write(data);
    }
  }

  override get inputDType(): 'i32' {
    return 'i32';
  }

  forward(x: Tensor): Tensor {
    return embedding(this.weight, x, { paddingIdx: this.paddingIdx });
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
