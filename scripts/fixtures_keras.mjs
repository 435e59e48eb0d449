// Computes tests/fixtures/keras.jsonl with TensorFlow.js layers: outputs of layers, and losses and weights after steps of training.
// `npm install` in bench/ brings TensorFlow.js; without it nothing is done.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Numbers, size, tensorflow, toArray } from './fixtures_tools.mjs';

const tf = tensorflow('fixtures_keras');

const numbers = new Numbers();
const next = () => numbers.next() || 0.001; // no zero: |x| has several slopes there
const random = (shape, map = (v) => v) => ({ shape, data: Array.from({ length: size(shape) }, () => map(next())) });
const toTensor = ({ shape, data }) => tf.tensor(data, shape);

const lines = [];

/** Random weights; variances are positive. */
function setWeights(model) {
  const weights = model.weights.map((w) => random(w.shape, (v) => (w.name.includes('variance') ? 1 + Math.abs(v) : v)));
  model.setWeights(weights.map(toTensor));
  return weights;
}

/** A layer of [factory, options]; layers within it are given so, too. */
function made([factory, options]) {
  const given = { ...options };
  for (const key of Object.keys(given)) {
    if (key.endsWith('Regularizer')) given[key] = tf.regularizers.l1l2(given[key]);
    if (key === 'layer') given[key] = made(given[key]);
  }
  return tf.layers[factory](given);
}

/** One model: `layers` are [factory, options], the inputs go into the first one. */
async function layerCase(
  name,
  inputs,
  layers,
  { integer = 0, target, loss = 'meanSquaredError', optimizer = 'sgd', steps = 1, metrics = [], train = true } = {},
) {
  numbers.seed([...name].reduce((a, c) => (Math.imul(a, 31) + c.charCodeAt(0)) >>> 0, 7));
  const symbolic = inputs.map((shape) => tf.input({ shape }));
  let output = symbolic.length === 1 ? symbolic[0] : symbolic;
  for (const layer of layers) output = made(layer).apply(output);
  const model = tf.model({ inputs: symbolic, outputs: output });
  const weights = setWeights(model);
  const x = inputs.map((shape) =>
    random([2, ...shape], integer > 0 ? (v) => Math.floor(((v + 1) / 2.01) * integer) : undefined),
  );
  const xs = x.map(toTensor);
  const one = (list) => (list.length === 1 ? list[0] : list);
  const fixture = { name, inputs, layers, weights, x, output: toArray(model.predict(one(xs))) };
  if (train) {
    const optimizers = {
      sgd: () => tf.train.sgd(0.1),
      adam: () => tf.train.adam(0.01),
      momentum: () => tf.train.momentum(0.1, 0.9, true),
      rmsprop: () => tf.train.rmsprop(0.01),
      rmspropMomentum: () => tf.train.rmsprop(0.01, 0.8, 0.9, 0.001),
      adagrad: () => tf.train.adagrad(0.1),
      adamax: () => tf.train.adamax(0.02),
    };
    const shape = target?.shape ?? fixture.output.shape;
    const y =
      target?.kind === 'onehot'
        ? oneHot(shape)
        : target?.kind === 'classes'
          ? random(shape, (v) => Math.floor(((v + 1) / 2.01) * target.classes))
          : target?.kind === 'binary'
            ? random(shape, (v) => (v > 0 ? 1 : 0))
            : target?.kind === 'signs'
              ? random(shape, (v) => (v > 0 ? 1 : -1))
              : target?.kind === 'positive'
                ? random(shape, (v) => 0.8 * Math.abs(v) + 0.1)
                : random(shape);
    model.compile({ optimizer: optimizers[optimizer](), loss, metrics });
    const history = [];
    for (let i = 0; i < steps; i++) history.push([await model.trainOnBatch(one(xs), toTensor(y))].flat());
    const evaluated = [model.evaluate(one(xs), toTensor(y))].flat().map((t) => t.dataSync()[0]);
    Object.assign(fixture, { y, loss, metrics, optimizer, history, evaluated, after: model.getWeights().map(toArray) });
  }
  lines.push(JSON.stringify(fixture));
}

function oneHot([rows, classes]) {
  const data = new Array(rows * classes).fill(0);
  for (let r = 0; r < rows; r++) data[r * classes + Math.floor(((next() + 1) / 2.01) * classes)] = 1;
  return { shape: [rows, classes], data };
}

const l1l2 = { l1: 0.01, l2: 0.02 };

// Convolutions
for (const padding of ['valid', 'same']) {
  for (const strides of [1, 2]) {
    await layerCase(
      `conv1d ${padding} ${strides}`,
      [[7, 2]],
      [['conv1d', { filters: 3, kernelSize: 3, strides, padding, activation: 'relu' }]],
    );
    await layerCase(
      `conv2d ${padding} ${strides}`,
      [[6, 5, 2]],
      [['conv2d', { filters: 3, kernelSize: [3, 2], strides, padding, activation: 'tanh' }]],
    );
    await layerCase(
      `conv3d ${padding} ${strides}`,
      [[4, 5, 3, 1]],
      [['conv3d', { filters: 2, kernelSize: 2, strides, padding }]],
    );
    await layerCase(
      `conv2dTranspose ${padding} ${strides}`,
      [[3, 4, 2]],
      [['conv2dTranspose', { filters: 3, kernelSize: 3, strides, padding }]],
    );
    await layerCase(
      `conv3dTranspose ${padding} ${strides}`,
      [[2, 3, 2, 2]],
      [['conv3dTranspose', { filters: 2, kernelSize: 3, strides, padding }]],
      { train: false },
    );
    await layerCase(
      `depthwiseConv2d ${padding} ${strides}`,
      [[5, 6, 2]],
      [['depthwiseConv2d', { kernelSize: 3, strides, padding, depthMultiplier: 2 }]],
    );
    await layerCase(
      `separableConv2d ${padding} ${strides}`,
      [[5, 6, 2]],
      [['separableConv2d', { filters: 3, kernelSize: 3, strides, padding, depthMultiplier: 2, activation: 'relu' }]],
    );
    for (const rank of [1, 2, 3]) {
      const shape = [
        [7, 2],
        [7, 6, 2],
        [5, 4, 5, 2],
      ][rank - 1];
      await layerCase(
        `maxPooling${rank}d ${padding} ${strides}`,
        [shape],
        [
          [
            `maxPooling${rank}d`,
            {
              poolSize: rank === 1 ? 3 : new Array(rank).fill(3),
              strides: rank === 1 ? strides : new Array(rank).fill(strides),
              padding,
            },
          ],
        ],
        { train: false },
      );
      await layerCase(
        `averagePooling${rank}d ${padding} ${strides}`,
        [shape],
        [
          [
            `averagePooling${rank}d`,
            {
              poolSize: rank === 1 ? 3 : new Array(rank).fill(3),
              strides: rank === 1 ? strides : new Array(rank).fill(strides),
              padding,
            },
          ],
        ],
        { train: false },
      );
    }
  }
}
await layerCase(
  'conv1d dilated',
  [[6, 2]],
  [['conv1d', { filters: 2, kernelSize: 3, padding: 'same', dilationRate: 2 }]],
  { train: false },
);
await layerCase(
  'conv2d dilated without bias',
  [[7, 6, 2]],
  [['conv2d', { filters: 2, kernelSize: 3, dilationRate: 2, useBias: false }]],
  { train: false },
);
await layerCase(
  'conv2d channels first',
  [[2, 6, 5]],
  [['conv2d', { filters: 3, kernelSize: 3, dataFormat: 'channelsFirst' }]],
);
await layerCase(
  'conv2d regularized',
  [[4, 4, 2]],
  [['conv2d', { filters: 2, kernelSize: 3, kernelRegularizer: l1l2, biasRegularizer: l1l2 }]],
);
await layerCase(
  'conv2dTranspose long stride',
  [[3, 3, 2]],
  [['conv2dTranspose', { filters: 2, kernelSize: 2, strides: 3 }]],
);
await layerCase(
  'conv2dTranspose even same',
  [[3, 3, 2]],
  [['conv2dTranspose', { filters: 2, kernelSize: 4, strides: 2, padding: 'same', activation: 'sigmoid' }]],
);

// Pooling of everything
await layerCase('globalMaxPooling1d', [[5, 3]], [['globalMaxPooling1d', {}]], { train: false });
await layerCase('globalAveragePooling1d', [[5, 3]], [['globalAveragePooling1d', {}]], { train: false });
await layerCase(
  'globalMaxPooling2d',
  [[3, 4, 3]],
  [
    ['conv2d', { filters: 2, kernelSize: 1 }],
    ['globalMaxPooling2d', {}],
  ],
);
await layerCase(
  'globalAveragePooling2d',
  [[3, 4, 3]],
  [
    ['conv2d', { filters: 2, kernelSize: 1 }],
    ['globalAveragePooling2d', {}],
  ],
);

// Core
for (const activation of [
  'elu',
  'gelu',
  'gelu_new',
  'hardSigmoid',
  'linear',
  'mish',
  'relu',
  'relu6',
  'selu',
  'sigmoid',
  'softmax',
  'softplus',
  'softsign',
  'swish',
  'tanh',
]) {
  await layerCase(`dense ${activation}`, [[3]], [['dense', { units: 4, activation }]]);
  await layerCase(`activation ${activation}`, [[2, 3]], [['activation', { activation }]], { train: false });
}
await layerCase('dense of rank 3', [[4, 3]], [['dense', { units: 2, kernelRegularizer: l1l2 }]]);
await layerCase(
  'flatten',
  [[2, 3, 2]],
  [
    ['flatten', {}],
    ['dense', { units: 2 }],
  ],
);
await layerCase('flatten channels first', [[2, 3, 2]], [['flatten', { dataFormat: 'channelsFirst' }]], {
  train: false,
});
await layerCase('reshape', [[2, 6]], [['reshape', { targetShape: [3, -1, 2] }]], { train: false });
await layerCase('permute', [[2, 3, 4]], [['permute', { dims: [3, 1, 2] }]], { train: false });
await layerCase('repeatVector', [[3]], [['repeatVector', { n: 2 }]], { train: false });
await layerCase('reLU', [[3, 4]], [['reLU', { maxValue: 0.4 }]], { train: false });
await layerCase('leakyReLU', [[3, 4]], [['leakyReLU', {}]], { train: false });
await layerCase('thresholdedReLU', [[3, 4]], [['thresholdedReLU', { theta: 0.3 }]], { train: false });
await layerCase('prelu', [[3, 4]], [['prelu', {}]]);
await layerCase('dropout in use', [[3, 4]], [['dropout', { rate: 0.5 }]], { train: false });
await layerCase(
  'embedding',
  [[4]],
  [
    ['embedding', { inputDim: 5, outputDim: 3 }],
    ['flatten', {}],
    ['dense', { units: 2 }],
  ],
  { integer: 5 },
);
await layerCase(
  'zeroPadding2d',
  [[2, 3, 2]],
  [
    [
      'zeroPadding2d',
      {
        padding: [
          [1, 0],
          [2, 1],
        ],
      },
    ],
  ],
  { train: false },
);
await layerCase('zeroPadding2d default', [[2, 3, 2]], [['zeroPadding2d', {}]], { train: false });
await layerCase(
  'cropping2D',
  [[5, 6, 2]],
  [
    [
      'cropping2D',
      {
        cropping: [
          [1, 0],
          [2, 1],
        ],
      },
    ],
  ],
  { train: false },
);
await layerCase('upSampling2d', [[2, 3, 2]], [['upSampling2d', { size: [2, 3] }]], { train: false });
await layerCase('rescaling', [[2, 3]], [['rescaling', { scale: 0.5, offset: 0.25 }]], { train: false });

// Normalisation
await layerCase(
  'batchNormalization',
  [[3, 2, 4]],
  [
    ['conv2d', { filters: 3, kernelSize: 1 }],
    ['batchNormalization', {}],
  ],
  { steps: 3 },
);
await layerCase(
  'batchNormalization of features',
  [[4]],
  [
    ['dense', { units: 3 }],
    ['batchNormalization', { momentum: 0.8, epsilon: 0.1 }],
  ],
  { steps: 3 },
);
await layerCase(
  'layerNormalization',
  [[3, 4]],
  [
    ['dense', { units: 3 }],
    ['layerNormalization', {}],
  ],
  { steps: 2 },
);
await layerCase('layerNormalization of two axes', [[3, 4]], [['layerNormalization', { axis: [1, 2], epsilon: 0.01 }]]);

// Several inputs
const three = [
  [2, 3],
  [2, 3],
  [2, 3],
];
for (const merge of ['add', 'multiply', 'average', 'maximum', 'minimum'])
  await layerCase(merge, three, [[merge, {}]], { train: false });
await layerCase('concatenate', three, [
  ['concatenate', {}],
  ['dense', { units: 2 }],
]);
await layerCase('concatenate axis 1', three, [['concatenate', { axis: 1 }]], { train: false });
await layerCase('dot of vectors', [[4], [4]], [['dot', { axes: 1 }]], { train: false });
await layerCase('dot normalized', [[4], [4]], [['dot', { axes: -1, normalize: true }]], { train: false });
await layerCase(
  'dot of matrices',
  [
    [2, 4],
    [4, 3],
  ],
  [['dot', { axes: [2, 1] }]],
  { train: false },
);

// Losses
const softmaxModel = [['dense', { units: 4, activation: 'softmax' }]];
await layerCase('categoricalCrossentropy', [[3]], softmaxModel, {
  loss: 'categoricalCrossentropy',
  target: { kind: 'onehot', shape: [2, 4] },
  metrics: ['accuracy'],
  steps: 3,
});
await layerCase('sparseCategoricalCrossentropy', [[3]], softmaxModel, {
  loss: 'sparseCategoricalCrossentropy',
  target: { kind: 'classes', classes: 4, shape: [2, 1] },
  metrics: ['accuracy'],
  steps: 3,
});
await layerCase(
  'categoricalCrossentropy of other probabilities',
  [[3]],
  [['dense', { units: 4, activation: 'sigmoid' }]],
  { loss: 'categoricalCrossentropy', target: { kind: 'onehot', shape: [2, 4] }, steps: 2 },
);
await layerCase('binaryCrossentropy', [[3]], [['dense', { units: 1, activation: 'sigmoid' }]], {
  loss: 'binaryCrossentropy',
  target: { kind: 'binary', shape: [2, 1] },
  metrics: ['accuracy'],
  steps: 3,
});
await layerCase('binaryCrossentropy of several', [[3]], [['dense', { units: 3, activation: 'hardSigmoid' }]], {
  loss: 'binaryCrossentropy',
  target: { kind: 'binary', shape: [2, 3] },
  metrics: ['accuracy'],
});
await layerCase('meanAbsoluteError', [[3]], [['dense', { units: 3 }]], { loss: 'meanAbsoluteError', metrics: ['mse'] });
await layerCase('meanAbsolutePercentageError', [[3]], [['dense', { units: 3 }]], {
  loss: 'meanAbsolutePercentageError',
  target: { kind: 'positive', shape: [2, 3] },
  metrics: ['mae'],
});
await layerCase('hinge', [[3]], [['dense', { units: 3 }]], { loss: 'hinge', target: { kind: 'signs', shape: [2, 3] } });
await layerCase('squaredHinge', [[3]], [['dense', { units: 3 }]], {
  loss: 'squaredHinge',
  target: { kind: 'signs', shape: [2, 3] },
});
await layerCase('logcosh', [[3]], [['dense', { units: 3 }]], { loss: 'logcosh' });
await layerCase('poisson', [[3]], [['dense', { units: 3, activation: 'softplus' }]], {
  loss: 'poisson',
  target: { kind: 'positive', shape: [2, 3] },
});
await layerCase('kullbackLeiblerDivergence', [[3]], [['dense', { units: 3, activation: 'softmax' }]], {
  loss: 'kullbackLeiblerDivergence',
  target: { kind: 'positive', shape: [2, 3] },
});

// Optimizers
await layerCase('adam', [[3]], [['dense', { units: 3 }]], { optimizer: 'adam', steps: 4 });
for (const optimizer of ['momentum', 'rmsprop', 'rmspropMomentum', 'adagrad', 'adamax']) {
  await layerCase(optimizer, [[3]], [['dense', { units: 3 }]], { optimizer, steps: 4 });
}

// A small network
await layerCase(
  'network',
  [[8, 8, 1]],
  [
    ['conv2d', { filters: 3, kernelSize: 3, padding: 'same', activation: 'relu' }],
    ['maxPooling2d', { poolSize: 2 }],
    ['batchNormalization', {}],
    ['conv2d', { filters: 2, kernelSize: 3 }],
    ['leakyReLU', { alpha: 0.1 }],
    ['flatten', {}],
    ['dense', { units: 3, activation: 'softmax' }],
  ],
  {
    loss: 'categoricalCrossentropy',
    target: { kind: 'onehot', shape: [2, 3] },
    metrics: ['accuracy'],
    optimizer: 'momentum',
    steps: 3,
  },
);

// Recurrent layers; TensorFlow.js lacks what its own initializer of recurrent kernels needs, and GRUs that reset after the product.
const recurrent = { recurrentInitializer: 'glorotUniform' };
const gated = { ...recurrent, recurrentActivation: 'sigmoid' };
const KINDS = [
  ['simpleRNN', recurrent],
  ['lstm', gated],
  ['gru', { ...gated, resetAfter: false }],
];
for (const [factory, more] of KINDS) {
  const options = { units: 3, ...more };
  await layerCase(factory, [[4, 2]], [[factory, options]]);
  await layerCase(`${factory} sequences`, [[4, 2]], [[factory, { ...options, returnSequences: true, useBias: false }]]);
  await layerCase(`${factory} backwards`, [[4, 2]], [[factory, { ...options, goBackwards: true }]]);
  await layerCase(
    `${factory} sequences backwards`,
    [[4, 2]],
    [[factory, { ...options, goBackwards: true, returnSequences: true }]],
  );
  await layerCase(
    `${factory} with other activations`,
    [[3, 2]],
    [
      [
        factory,
        {
          ...options,
          activation: 'softsign',
          ...(factory === 'simpleRNN' ? {} : { recurrentActivation: 'hardSigmoid' }),
        },
      ],
    ],
  );
  for (const mergeMode of ['concat', 'sum', 'mul', 'ave']) {
    for (const returnSequences of [false, true]) {
      await layerCase(
        `bidirectional ${factory} ${mergeMode} ${returnSequences}`,
        [[4, 2]],
        [['bidirectional', { layer: [factory, { ...options, returnSequences }], mergeMode }]],
      );
    }
  }
}
await layerCase(
  'timeDistributed',
  [[3, 4]],
  [['timeDistributed', { layer: ['dense', { units: 2, activation: 'tanh' }] }]],
);
await layerCase(
  'convolutions at every time, then recurrent',
  [[3, 6, 6, 1]],
  [
    ['timeDistributed', { layer: ['conv2d', { filters: 2, kernelSize: 3, activation: 'relu' }] }],
    ['timeDistributed', { layer: ['globalAveragePooling2d', {}] }],
    ['bidirectional', { layer: ['lstm', { units: 3, ...gated, returnSequences: true }], mergeMode: 'concat' }],
    ['gru', { units: 4, ...gated, resetAfter: false }],
    ['dense', { units: 3, activation: 'softmax' }],
  ],
  {
    loss: 'categoricalCrossentropy',
    target: { kind: 'onehot', shape: [2, 3] },
    metrics: ['accuracy'],
    optimizer: 'momentum',
    steps: 3,
  },
);

const path = fileURLToPath(new URL('../tests/fixtures/keras.jsonl', import.meta.url));
writeFileSync(path, `${lines.join('\n')}\n`);
console.log(`keras.jsonl: ${lines.length} cases`);
