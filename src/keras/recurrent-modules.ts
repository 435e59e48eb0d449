import { checkBoolean, checkCount, type LayerConfig } from '../nn/config.js';
import { Dropout } from '../nn/layers/dropout.js';
import { Module } from '../nn/module.js';
import { concat } from '../ops/concat.js';
import { linear } from '../ops/conv.js';
import { full, zeros } from '../ops/create.js';
import { add, mul } from '../ops/elementwise.js';
import { flip } from '../ops/flip.js';
import { recurrence } from '../ops/recurrence.js';
import type { CellActivation, CellKind } from '../ops/recurrent-cell.js';
import { reshape } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

// Keras's recurrent layers over the loop of `ops/recurrence.ts`, on [batch, time, features].

/** Gates in the order of Keras's weights. */
const GATES: Readonly<Record<CellKind, string>> = { rnn: 'n', lstm: 'ifgo', gru: 'zrn' };

/** What a {@link KerasRecurrent} is made of. */
export interface KerasRecurrentConfig {
  readonly kind: CellKind;
  readonly inputSize: number;
  readonly units: number;
  readonly useBias: boolean;
  readonly activation: CellActivation;
  /** of the gates; of a plain layer not used */
  readonly recurrentActivation: CellActivation;
  /** of a GRU: its reset gate acts after the product, and it has two biases */
  readonly resetAfter: boolean;
  readonly returnSequences: boolean;
  readonly goBackwards: boolean;
  /** of the inputs in training, the same for all times */
  readonly dropout: number;
}

export const RECURRENT_FIELDS: readonly (keyof KerasRecurrentConfig)[] = [
  'kind',
  'inputSize',
  'units',
  'useBias',
  'activation',
  'recurrentActivation',
  'resetAfter',
  'returnSequences',
  'goBackwards',
  'dropout',
];

/** SimpleRNN, LSTM and GRU. */
export class KerasRecurrent extends Module {
  readonly type = 'KerasRecurrent';
  readonly options: KerasRecurrentConfig;
  /** [gates · units, input size] */
  readonly kernel: Tensor;
  /** [gates · units, units] */
  readonly recurrentKernel: Tensor;
  /** [gates · units], of a GRU that resets after the product [2, gates · units] */
  readonly bias: Tensor | undefined;
  readonly #dropout: Dropout | undefined;

  constructor(options: KerasRecurrentConfig) {
    super();
    const { kind, inputSize, units, useBias, resetAfter, returnSequences, goBackwards, dropout } = options;
    if (GATES[kind] === undefined) throw new OptionError(`KerasRecurrent: "${kind}" is no kind; use rnn, lstm or gru`);
    checkCount('KerasRecurrent', 'inputSize', inputSize);
    checkCount('KerasRecurrent', 'units', units);
    for (const [name, value] of Object.entries({ useBias, resetAfter, returnSequences, goBackwards })) {
      checkBoolean('KerasRecurrent', name, value);
    }
    this.options = options;
    const rows = GATES[kind].length * units;
    this.kernel = this.parameter('kernel', zeros([rows, inputSize]));
    this.recurrentKernel = this.parameter('recurrent_kernel', zeros([rows, units]));
    this.bias = useBias ? this.parameter('bias', zeros(this.#twoBiases ? [2, rows] : [rows])) : undefined;
    this.#dropout = dropout > 0 ? this.child('dropout', new Dropout(dropout)) : undefined;
  }

  get #twoBiases(): boolean {
    return this.options.kind === 'gru' && this.options.resetAfter;
  }

  forward(x: Tensor): Tensor {
    const { kind, inputSize, units, activation, recurrentActivation, resetAfter } = this.options;
    const { returnSequences, goBackwards: reverse } = this.options;
    if (x.rank !== 3 || x.shape[2] !== inputSize) {
      throw new ShapeError(`expected [batch, time, ${inputSize}], got ${formatShape(x.shape)}`);
    }
    const [batch, time] = x.shape;
    const kept = this.#dropout?.call(full([batch, 1, inputSize], 1));
    const inputs = transpose(kept === undefined ? x : mul(x, kept), [1, 0, 2]);
    const part = (i: number): Tensor | undefined => {
      const { bias } = this;
      if (bias === undefined || !this.#twoBiases) return i === 0 ? bias : undefined;
      return reshape(slice(bias, [i, 0], [1, bias.shape[1]]), [bias.shape[1]]);
    };
    const activations =
      kind === 'rnn'
        ? [activation]
        : kind === 'gru'
          ? [recurrentActivation, activation]
          : [recurrentActivation, activation, activation];
    const brought = linear(inputs, this.kernel, part(0), this.type);
    const { h } = recurrence(brought, this.recurrentKernel, {
      kind,
      gates: GATES[kind],
      activations,
      bias: part(1),
      reverse,
      ...(kind === 'gru' ? { resetAfter } : {}),
    });
    if (!returnSequences) {
      return reshape(slice(h, [reverse ? 0 : time - 1, 0, 0], [1, batch, units]), [batch, units]);
    }
    // In the order in which Keras computes them.
    return transpose(reverse ? flip(h, [0]) : h, [1, 0, 2]);
  }

  override config(): LayerConfig {
    const { activation, recurrentActivation, ...rest } = this.options;
    return {
      type: this.type,
      ...rest,
      activation: { ...activation },
      recurrentActivation: { ...recurrentActivation },
    };
  }
}

/** How {@link KerasBidirectional} joins both directions. */
export type MergeMode = 'concat' | 'sum' | 'mul' | 'ave';
export const MERGE_MODES: readonly MergeMode[] = ['concat', 'sum', 'mul', 'ave'];

/** A recurrent layer and one that goes the other way. */
export class KerasBidirectional extends Module {
  readonly type = 'KerasBidirectional';
  readonly mergeMode: MergeMode;
  readonly forwardLayer: KerasRecurrent;
  readonly backwardLayer: KerasRecurrent;

  constructor(forward: Module, backward: Module, mergeMode: MergeMode) {
    super();
    if (!(forward instanceof KerasRecurrent && backward instanceof KerasRecurrent)) {
      throw new OptionError('KerasBidirectional: both layers must be recurrent');
    }
    if (!MERGE_MODES.includes(mergeMode)) {
      throw new OptionError(
        `KerasBidirectional: mergeMode must be ${MERGE_MODES.join(', ')}, got ${JSON.stringify(mergeMode)}`,
      );
    }
    this.mergeMode = mergeMode;
    this.forwardLayer = this.child('forward_layer', forward);
    this.backwardLayer = this.child('backward_layer', backward);
  }

  forward(x: Tensor): Tensor {
    const a = this.forwardLayer.call(x);
    const back = this.backwardLayer.call(x);
    const b = this.backwardLayer.options.returnSequences ? flip(back, [1]) : back;
    switch (this.mergeMode) {
      case 'concat':
        return concat([a, b], -1);
      case 'sum':
        return add(a, b);
      case 'mul':
        return mul(a, b);
      case 'ave':
        return mul(add(a, b), 0.5);
    }
  }

  override config(): LayerConfig {
    const { type, mergeMode, forwardLayer, backwardLayer } = this;
    return { type, mergeMode, forward: forwardLayer.config(), backward: backwardLayer.config() };
  }
}

/** A layer for every time by itself: [batch, time, …]. */
export class KerasTimeDistributed extends Module {
  readonly type = 'KerasTimeDistributed';
  readonly layer: Module;

  constructor(layer: Module) {
    super();
    this.layer = this.child('layer', layer);
  }

  forward(x: Tensor): Tensor {
    if (x.rank < 2) throw new ShapeError(`expected [batch, time, …], got ${formatShape(x.shape)}`);
    const [batch, time, ...rest] = x.shape;
    const y = this.layer.call(reshape(x, [batch * time, ...rest]));
    return reshape(y, [batch, time, ...y.shape.slice(1)]);
  }

  override config(): LayerConfig {
    return { type: this.type, layer: this.layer.config() };
  }
}

/** @throws OptionError for fields that are none */
export function recurrentFromConfig({ type, ...fields }: LayerConfig): KerasRecurrent {
  checkOptions(type, fields, RECURRENT_FIELDS);
  return new KerasRecurrent(fields as unknown as KerasRecurrentConfig);
}
