import { concat } from '../../ops/concat.js';
import { linear } from '../../ops/conv.js';
import { zeros } from '../../ops/create.js';
import { add } from '../../ops/elementwise.js';
import { type RecurrenceOptions, recurrence } from '../../ops/recurrence.js';
import type { CellKind } from '../../ops/recurrent-cell.js';
import { reshape } from '../../ops/reshape.js';
import { slice } from '../../ops/slice.js';
import { transpose } from '../../ops/transpose.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import { formatShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, checkNumber, type LayerConfig, type RandomOption } from '../config.js';
import { uniform } from '../init.js';
import { Module } from '../module.js';
import { Dropout } from './dropout.js';

/** What recurrent layers have in common. */
export interface RecurrentOptions extends RandomOption {
  /** Layers on top of each other, each of which reads what the one below gives; default 1. */
  readonly numLayers?: number;
  /** default true */
  readonly bias?: boolean;
  /** Input and output are [batch, time, features] instead of PyTorch's default [time, batch, features]; default false. */
  readonly batchFirst?: boolean;
  /** Dropout in training after every layer but the last; default 0. */
  readonly dropout?: number;
  /** Every layer reads in both directions, and gives both results, one behind the other; default false. */
  readonly bidirectional?: boolean;
}

/** Options of {@link RNN}. */
export interface RNNOptions extends RecurrentOptions {
  /** default `tanh` */
  readonly nonlinearity?: 'tanh' | 'relu';
}

/** The state of a recurrent layer: [layers · directions, batch, hidden], the directions of a layer together. */
export interface RecurrentState {
  readonly h: Tensor;
  /** Of an {@link LSTM}. */
  readonly c?: Tensor;
}

/** What a recurrent layer gives, and its state after the last step. */
export interface RecurrentResult extends RecurrentState {
  /** What {@link Module.forward} returns. */
  readonly output: Tensor;
}

const OPTIONS: readonly string[] = ['numLayers', 'bias', 'batchFirst', 'dropout', 'bidirectional'];
const GATES: Readonly<Record<CellKind, number>> = { rnn: 1, lstm: 4, gru: 3 };

/** A call of {@link Recurrent.run}. */
interface Running {
  readonly state: RecurrentState | undefined;
  result: RecurrentResult | undefined;
}

/** What {@link RNN}, {@link LSTM} and {@link GRU} have in common. */
export abstract class Recurrent extends Module {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  readonly dropout: number;
  readonly #kind: CellKind;
  readonly #bias: boolean;
  readonly #weights: {
    readonly ih: Tensor;
    readonly hh: Tensor;
    readonly biasIh?: Tensor;
    readonly biasHh?: Tensor;
  }[] = [];
  readonly #dropouts: Dropout[] = [];
  #running: Running | undefined;

  constructor(kind: CellKind, where: string, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super();
    const { numLayers = 1, bias = true, batchFirst = false, dropout = 0, bidirectional = false, random } = options;
    checkCount(where, 'inputSize', inputSize);
    checkCount(where, 'hiddenSize', hiddenSize);
    checkCount(where, 'numLayers', numLayers);
    checkBoolean(where, 'bias', bias);
    checkBoolean(where, 'batchFirst', batchFirst);
    checkBoolean(where, 'bidirectional', bidirectional);
    checkNumber(where, 'dropout', dropout, 0, 1);
    if (dropout > 0 && numLayers === 1) {
      throw new OptionError(
        `${where}: dropout is between layers, and there is one; use numLayers ≥ 2 or a Dropout behind it`,
      );
    }
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.dropout = dropout;
    this.#kind = kind;
    this.#bias = bias;
    const directions = bidirectional ? 2 : 1;
    for (let layer = 0; layer < numLayers; layer++) {
      const features = layer === 0 ? inputSize : hiddenSize * directions;
      for (const suffix of bidirectional ? ['', '_reverse'] : ['']) {
        const own = (name: string, shape: number[]): Tensor => this.#draw(`${name}_l${layer}${suffix}`, shape, random);
        const rows = GATES[kind] * hiddenSize;
        const ih = own('weight_ih', [rows, features]);
        const hh = own('weight_hh', [rows, hiddenSize]);
        this.#weights.push(
          bias ? { ih, hh, biasIh: own('bias_ih', [rows]), biasHh: own('bias_hh', [rows]) } : { ih, hh },
        );
      }
      if (dropout > 0 && layer < numLayers - 1) {
        this.#dropouts.push(this.child(`dropout_l${layer}`, new Dropout(dropout, random ? { random } : {})));
      }
    }
  }

  #draw(name: string, shape: number[], random: Random | undefined): Tensor {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    return this.parameter(name, uniform(zeros(shape), -bound, bound, random));
  }

  /** What the subclass knows of its cell. */
  protected cell(): Pick<RecurrenceOptions, 'activations'> {
    return {};
  }

  /** The output of the last layer, {@link run} without the state. */
  forward(x: Tensor): Tensor {
    const running = this.#running;
    if (running === undefined) return this.#compute(x, undefined).output;
    running.result = this.#compute(x, running.state);
    return running.result.output;
  }

  /**
   * The whole sequence, from the state `state` (default zeros) on.
   *
   * @param x [time, batch, inputSize], with `batchFirst` [batch, time, inputSize]; one sequence [time, inputSize] has states without batch
   */
  run(x: Tensor, state?: RecurrentState): RecurrentResult {
    const running: Running = { state, result: undefined };
    this.#running = running;
    try {
      // As any call of a layer, with its name in messages and in summaries.
      this.call(x);
    } finally {
      this.#running = undefined;
    }
    return running.result as RecurrentResult;
  }

  #compute(x: Tensor, state: RecurrentState | undefined): RecurrentResult {
    if ((x.rank !== 2 && x.rank !== 3) || x.shape[x.rank - 1] !== this.inputSize) {
      const axes = this.batchFirst ? 'batch, time' : 'time, batch';
      throw new ShapeError(
        `${this.type}: expected [${axes}, ${this.inputSize}] or [time, ${this.inputSize}], got ${formatShape(x.shape)}`,
      );
    }
    const single = x.rank === 2;
    const swap = this.batchFirst && !single;
    let sequence = swap ? transpose(x, [1, 0, 2]) : single ? reshape(x, [x.shape[0], 1, x.shape[1]]) : x;
    const [time, batch] = sequence.shape;
    const initial = this.#initial(state, batch, single);
    const directions = this.bidirectional ? 2 : 1;
    const last: { h: Tensor[]; c: Tensor[] } = { h: [], c: [] };
    for (let layer = 0; layer < this.numLayers; layer++) {
      const input = sequence;
      const results = Array.from({ length: directions }, (_, direction) => {
        const number = layer * directions + direction;
        const states = this.#direction(number, input, direction === 1, initial(number));
        const end = (all: Tensor): Tensor =>
          slice(all, [direction === 1 ? 0 : time - 1, 0, 0], [1, batch, this.hiddenSize]);
        last.h.push(end(states.h));
        if (states.c !== undefined) last.c.push(end(states.c));
        return states.h;
      });
      sequence = results.length === 1 ? results[0] : concat(results, 2);
      sequence = this.#dropouts[layer]?.call(sequence) ?? sequence;
    }
    const features = directions * this.hiddenSize;
    const output = swap ? transpose(sequence, [1, 0, 2]) : single ? reshape(sequence, [time, features]) : sequence;
    const joined = (parts: Tensor[]): Tensor => {
      const all = concat(parts, 0);
      return single ? reshape(all, [parts.length, this.hiddenSize]) : all;
    };
    return { output, h: joined(last.h), ...(last.c.length > 0 ? { c: joined(last.c) } : {}) };
  }

  /** The part of the given state that belongs to a layer's direction. */
  #initial(
    state: RecurrentState | undefined,
    batch: number,
    single: boolean,
  ): (number: number) => Pick<RecurrenceOptions, 'h' | 'c'> {
    if (state === undefined) return () => ({});
    checkOptions(`${this.type}: state`, state, ['h', 'c', 'output']);
    const { h, c } = state;
    const count = this.#weights.length;
    const expected = single ? [count, this.hiddenSize] : [count, batch, this.hiddenSize];
    for (const [name, tensor] of [
      ['h', h],
      ['c', c],
    ] as const) {
      const wanted = name === 'h' || this.#kind === 'lstm';
      if ((tensor !== undefined) !== wanted || (tensor && formatShape(tensor.shape) !== formatShape(expected))) {
        throw new ShapeError(
          `${this.type}: ${name} of the state must be ${wanted ? formatShape(expected) : 'absent'}, got ${tensor ? formatShape(tensor.shape) : 'none'}`,
        );
      }
    }
    const part = (tensor: Tensor, number: number): Tensor => {
      const all = reshape(tensor, [count, batch, this.hiddenSize]);
      return reshape(slice(all, [number, 0, 0], [1, batch, this.hiddenSize]), [batch, this.hiddenSize]);
    };
    return (number) => ({ h: part(h, number), ...(c === undefined ? {} : { c: part(c, number) }) });
  }

  #direction(
    number: number,
    x: Tensor,
    reverse: boolean,
    state: Pick<RecurrenceOptions, 'h' | 'c'>,
  ): { h: Tensor; c?: Tensor } {
    const { ih, hh, biasIh, biasHh } = this.#weights[number];
    // The reset gate of a GRU acts on the second bias, too; everywhere else only their sum counts.
    const apart = this.#kind === 'gru';
    const both = biasIh !== undefined && biasHh !== undefined && !apart ? add(biasIh, biasHh) : biasIh;
    const bias = apart && biasHh !== undefined ? { bias: biasHh } : {};
    const brought = linear(x, ih, both, this.type);
    return recurrence(brought, hh, { kind: this.#kind, ...this.cell(), ...bias, ...state, reverse }, this.type);
  }

  override config(): LayerConfig {
    const { type, inputSize, hiddenSize, numLayers, batchFirst, dropout, bidirectional } = this;
    return { type, inputSize, hiddenSize, numLayers, bias: this.#bias, batchFirst, dropout, bidirectional };
  }
}

type Constructor<M> = new (inputSize: number, hiddenSize: number, options: RecurrentOptions) => M;

function make<M>(layer: Constructor<M>, config: LayerConfig, known = OPTIONS): M {
  const { type, inputSize, hiddenSize, ...options } = config;
  checkOptions(type, options, known);
  return new layer(inputSize as number, hiddenSize as number, options as RecurrentOptions);
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997), as `torch.nn.LSTM` with its keys (`weight_ih_l0`, `bias_hh_l1_reverse`, …):
 *
 *     i, f, g, o = σ, σ, tanh, σ of W_ih x + b_ih + W_hh h + b_hh
 *     c ← f · c + i · g,   h ← o · tanh(c)
 *
 * [time, batch, inputSize] to [time, batch, hiddenSize] (twice that with both directions). Weights start uniform within
 * ±1 / √hiddenSize. A program has its steps one by one: compiling takes some milliseconds for each step of each layer and direction, once, and
 * every length of sequences needs its own program; so pad sequences to few lengths. No second derivatives.
 *
 * @example
 * // Behind convolutions of [batch, channels, time]; the state after the last step is what a classifier reads.
 * const features = transpose(this.conv.call(x), [0, 2, 1]);
 * const { h } = this.lstm.run(features);            // new LSTM(64, 128, { batchFirst: true })
 * return this.head.call(reshape(h, [-1, 128]));
 */
export class LSTM extends Recurrent {
  readonly type = 'LSTM';

  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    checkOptions('LSTM', options, [...OPTIONS, 'random']);
    super('lstm', 'LSTM', inputSize, hiddenSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): LSTM {
    return make(LSTM, config);
  }
}

/**
 * Gated recurrent unit (Cho et al., 2014), as `torch.nn.GRU`, whose reset gate acts after the product with the weights:
 *
 *     r, z = σ of W_ih x + b_ih + W_hh h + b_hh
 *     n = tanh(W_in x + b_in + r · (W_hn h + b_hn))
 *     h ← (1 − z) · n + z · h
 *
 * Shapes, keys and costs as {@link LSTM}'s.
 */
export class GRU extends Recurrent {
  readonly type = 'GRU';

  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    checkOptions('GRU', options, [...OPTIONS, 'random']);
    super('gru', 'GRU', inputSize, hiddenSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): GRU {
    return make(GRU, config);
  }
}

/** Plain recurrent layer (Elman, 1990), as `torch.nn.RNN`: h ← tanh(W_ih x + b_ih + W_hh h + b_hh). Shapes, keys and costs as {@link LSTM}'s. */
export class RNN extends Recurrent {
  readonly type = 'RNN';
  readonly nonlinearity: 'tanh' | 'relu';

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkOptions('RNN', options, [...OPTIONS, 'nonlinearity', 'random']);
    const { nonlinearity = 'tanh' } = options;
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu') {
      throw new OptionError(`RNN: nonlinearity must be "tanh" or "relu", got ${JSON.stringify(nonlinearity)}`);
    }
    super('rnn', 'RNN', inputSize, hiddenSize, options);
    this.nonlinearity = nonlinearity;
  }

  protected override cell(): Pick<RecurrenceOptions, 'activations'> {
    return { activations: [{ name: this.nonlinearity }] };
  }

  override config(): LayerConfig {
    return { ...super.config(), nonlinearity: this.nonlinearity };
  }

  static fromConfig(this: void, config: LayerConfig): RNN {
    return make(RNN, config, [...OPTIONS, 'nonlinearity']);
  }
}
