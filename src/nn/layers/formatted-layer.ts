import { checkDataFormat, type DataFormat, type DataFormatOption, inChannelsFirst } from '../../ops/data-format.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig } from '../config.js';
import { Module } from '../module.js';
import type { Signature } from '../signature.js';

/** The data format in a configuration. */
export function formatOption(config: LayerConfig): DataFormatOption {
  return config.dataFormat === undefined ? {} : { dataFormat: config.dataFormat as DataFormat };
}

/**
 * Base of layers that tell channels from positions. They are written for [batch, channels, …spatial] and work in either data
 * format; between neighbours of one format the compiler drops the transposes.
 */
export abstract class FormattedLayer<S extends Signature = Signature> extends Module<S> {
  readonly dataFormat: DataFormat;

  constructor(where: string, { dataFormat = 'channels-first' }: DataFormatOption) {
    super();
    checkDataFormat(where, dataFormat);
    this.dataFormat = dataFormat;
  }

  /** `apply`, which knows [batch, channels, …spatial] alone, on a tensor of this layer's format. */
  protected inChannelsFirst(x: Tensor, apply: (x: Tensor) => Tensor): Tensor {
    return inChannelsFirst(x, this.dataFormat, apply);
  }

  /** `config` with the data format, which PyTorch lacks, where it is not the default. */
  protected withFormat(config: LayerConfig): LayerConfig {
    return this.dataFormat === 'channels-first' ? config : { ...config, dataFormat: this.dataFormat };
  }
}
