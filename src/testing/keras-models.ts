import * as tf from '../keras/index.js';

const { layers } = tf;

/** A model of layers one after the other. */
function line(inputShape: tf.KerasShape, parts: readonly tf.Layer[], dtype: tf.KerasDType = 'float32'): tf.Sequential {
  return tf.sequential({ layers: [layers.inputLayer({ inputShape, dtype }), ...parts] });
}

function images(): tf.LayersModel {
  return line(
    [9, 8, 3],
    [
      layers.rescaling({ scale: 0.5, offset: -0.1 }),
      layers.normalization({ axis: -1, mean: [0.1, 0.2, 0.3], variance: [1, 2, 3] }),
      layers.zeroPadding2d({ padding: [1, [0, 2]] }),
      layers.conv2d({
        filters: 4,
        kernelSize: [3, 2],
        strides: [2, 1],
        activation: 'relu',
        kernelInitializer: 'heNormal',
        biasInitializer: tf.initializers.constant({ value: 0.25 }),
        kernelRegularizer: tf.regularizers.l1l2({ l1: 0.01, l2: 0.02 }),
        activityRegularizer: 'l2',
      }),
      layers.batchNormalization({ momentum: 0.9, gammaInitializer: tf.initializers.randomUniform({ minval: 0.5 }) }),
      layers.conv2d({ filters: 6, kernelSize: 3, padding: 'same', dilationRate: 2, groups: 2, useBias: false }),
      layers.prelu({ sharedAxes: [1, 2], alphaInitializer: tf.initializers.constant({ value: 0.2 }) }),
      layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, activation: layers.leakyReLU({ alpha: 0.1 }) }),
      layers.layerNormalization({ epsilon: 1e-4 }),
      layers.separableConv2d({ filters: 6, kernelSize: 2, padding: 'same', activation: 'hardSigmoid6' }),
      layers.groupNormalization({ groups: 3 }),
      layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same', outputPadding: 0 }),
      layers.upSampling2d({ size: [2, 1], interpolation: 'bilinear' }),
      layers.cropping2d({ cropping: [[1, 0], 1] }),
      layers.averagePooling2d({ poolSize: 3, strides: 1, padding: 'same' }),
      layers.maxPooling2d({ poolSize: [2, 1] }),
      layers.reLU({ maxValue: 6, negativeSlope: 0.1 }),
      layers.spatialDropout2d({ rate: 0.2 }),
      layers.resizing({ height: 4, width: 3 }),
      layers.permute({ dims: [2, 1, 3] }),
      layers.reshape({ targetShape: [null, 3] }),
      layers.flatten(),
      layers.dense({ units: 5, activation: 'gelu', kernelRegularizer: 'l1', name: 'wide' }),
      layers.elu({ alpha: 0.7 }),
      layers.dropout({ rate: 0.3 }),
      layers.gaussianNoise({ stddev: 0.1 }),
      layers.dense({
        units: 3,
        trainable: false,
        kernelInitializer: tf.initializers.varianceScaling({ mode: 'fanAvg' }),
      }),
      layers.identity(),
      layers.softmax(),
    ],
  );
}

function channelsFirst(): tf.LayersModel {
  const dataFormat = 'channelsFirst';
  return line(
    [2, 5, 6, 4],
    [
      layers.conv3d({ filters: 4, kernelSize: 2, padding: 'same', dataFormat }),
      layers.batchNormalization({ axis: 1, center: false }),
      layers.maxPooling3d({ poolSize: [2, 1, 2], dataFormat }),
      layers.conv3dTranspose({ filters: 2, kernelSize: 2, strides: 2, dataFormat }),
      layers.spatialDropout3d({ rate: 0.1, dataFormat }),
      layers.upSampling3d({ size: [1, 2, 1], dataFormat }),
      layers.averagePooling3d({ poolSize: [1, 2, 1], dataFormat }),
      layers.globalMaxPooling3d({ dataFormat, keepDims: true }),
      layers.upSampling3d({ dataFormat }),
      layers.globalAveragePooling3d({ dataFormat, keepDims: true }),
      layers.flatten({ dataFormat }),
      layers.dense({ units: 3, activation: 'selu', useBias: false }),
    ],
  );
}

function words(): tf.LayersModel {
  return line(
    [9],
    [
      layers.embedding({ inputDim: 11, outputDim: 4, embeddingsRegularizer: 'l2' }),
      layers.zeroPadding1d({ padding: [2, 1] }),
      layers.conv1d({ filters: 4, kernelSize: 3, padding: 'causal', dilationRate: 2, activation: 'swish' }),
      layers.conv1dTranspose({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }),
      layers.depthwiseConv1d({ kernelSize: 2, padding: 'same' }),
      layers.separableConv1d({ filters: 4, kernelSize: 3, pointwiseRegularizer: 'l1' }),
      layers.upSampling1d({ size: 2 }),
      layers.cropping1d({ cropping: [1, 2] }),
      layers.averagePooling1d({ poolSize: 2 }),
      layers.bidirectional({
        layer: layers.lstm({ units: 3, returnSequences: true, name: 'memory' }),
        mergeMode: 'sum',
      }),
      layers.timeDistributed({ layer: layers.dense({ units: 4, activation: 'mish' }) }),
      layers.gru({ units: 3, returnSequences: true, resetAfter: false, goBackwards: true }),
      layers.gru({ units: 4, returnSequences: true, dropout: 0.2, recurrentActivation: 'softsign' }),
      layers.simpleRNN({ units: 5, recurrentInitializer: 'orthogonal', useBias: false }),
      layers.repeatVector({ n: 2 }),
      layers.globalMaxPooling1d(),
    ],
    'int32',
  );
}

/** Several inputs and outputs, layers and models that are called twice, a frozen model, a call as in use, a model cut out of another. */
function graph(): tf.LayersModel {
  const [a, b] = [tf.input({ shape: [6, 3], name: 'a' }), tf.input({ shape: [6, 3], name: 'b' })];
  const inner = tf.input({ shape: [6, 3] });
  const hidden = layers.conv1d({ filters: 4, kernelSize: 3, padding: 'same', name: 'conv' }).apply(inner);
  const normal = layers.batchNormalization({ name: 'norm' }).apply(hidden);
  const tower = tf.model({
    inputs: inner,
    outputs: [normal, layers.globalMaxPooling1d().apply(normal)],
    name: 'tower',
  });
  const block = line([6, 4], [layers.conv1d({ filters: 2, kernelSize: 2, name: 'conv1' }), layers.flatten()]);
  const [maps, peaks] = tower.apply(a, { training: false }) as unknown as tf.SymbolicTensor[];
  const [maps2, peaks2] = tower.apply(b) as unknown as tf.SymbolicTensor[];
  const shared = layers.dense({ units: 4, name: 'shared', activation: 'tanh' });
  const cut = tf.model({
    inputs: normal,
    outputs: layers.elu().apply(layers.add().apply([normal, normal])),
    name: 'cut',
  });
  const [one, two] = [shared.apply(block.apply(maps)), shared.apply(block.apply(maps2))];
  const merged = layers
    .concatenate()
    .apply([
      layers.multiply().apply([one, two]),
      layers.average().apply([one, two]),
      layers.maximum().apply([one, two]),
      layers.minimum().apply([one, two]),
      layers.dot({ axes: -1, normalize: true }).apply([one, two]),
      layers.globalAveragePooling1d().apply(cut.apply(maps)),
      peaks,
      peaks2,
    ]);
  block.trainable = false;
  return tf.model({ inputs: [b, a], outputs: [layers.dense({ units: 2, name: 'head' }).apply(merged), maps2, peaks2] });
}

/** Models with nearly all layers and options of `gabor/keras` that Keras 3 has too, with random weights, by name. */
export const KERAS_MODELS: Readonly<Record<string, () => tf.LayersModel>> = { images, channelsFirst, words, graph };

/** As many layers and options as TensorFlow.js has, too. */
function browser(): tf.LayersModel {
  const images = tf.input({ shape: [8, 7, 2], name: 'images' });
  const words = tf.input({ shape: [5], dtype: 'int32', name: 'words' });
  const body = line(
    [8, 7, 2],
    [
      layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same', activation: 'hardSigmoid', kernelRegularizer: 'l2' }),
      layers.batchNormalization({ scale: false }),
      layers.leakyReLU({ alpha: 0.2 }),
      layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, name: 'depthwise' }),
      layers.separableConv2d({ filters: 3, kernelSize: 2 }),
      layers.prelu({ sharedAxes: 1 }),
      layers.zeroPadding2d({ padding: [[1, 0], 2] }),
      layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2, padding: 'same' }),
      layers.cropping2d({ cropping: 1 }),
      layers.upSampling2d({ size: [1, 2] }),
      layers.averagePooling2d({ poolSize: 3, padding: 'same' }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.reLU({ maxValue: 6 }),
      layers.thresholdedReLU({ theta: 0.05 }),
      layers.elu(),
      layers.layerNormalization(),
      layers.permute({ dims: [3, 1, 2] }),
      layers.dropout({ rate: 0.2 }),
      layers.flatten(),
      layers.dense({ units: 5, activation: 'gelu' }),
      layers.rescaling({ scale: 2, offset: 0.5 }),
    ],
  );
  const rows = layers
    .bidirectional({ layer: layers.gru({ units: 2, resetAfter: false, name: 'memory' }), mergeMode: 'mul' })
    .apply(
      layers
        .timeDistributed({ layer: layers.dense({ units: 3, activation: 'selu', name: 'each' }) })
        .apply(layers.embedding({ inputDim: 11, outputDim: 4 }).apply(words)),
    );
  const sequence = layers.lstm({ units: 3, name: 'long' }).apply(layers.repeatVector({ n: 3 }).apply(rows));
  const twice = layers
    .add()
    .apply([body.apply(images), body.apply(layers.activation({ activation: 'tanh' }).apply(images))]);
  const joined = layers.concatenate({ name: 'joined' }).apply([twice, sequence, rows]);
  return tf.model({
    inputs: [images, words],
    outputs: [layers.dense({ units: 3, activation: 'softmax' }).apply(joined), layers.softmax().apply(sequence)],
  });
}

/** Models for TensorFlow.js. */
export const TFJS_MODELS: typeof KERAS_MODELS = { browser };

/** Weights and inputs of which nothing is zero; variances are positive. */
export function randomized(make: () => tf.LayersModel): { model: tf.LayersModel; x: tf.Tensor[] } {
  tf.manualSeed(7);
  const model = make();
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const draw = (shape: readonly number[], map: (v: number) => number, dtype: 'f32' | 'i32' = 'f32'): tf.Tensor =>
    tf.tensor(
      Array.from({ length: shape.reduce((n, m) => n * m, 1) }, () => map(next())),
      [...shape],
      dtype === 'i32' ? 'int32' : 'float32',
    );
  model.setWeights(
    model.weights.map(({ name, shape }) =>
      draw(shape, name.includes('variance') ? (v) => 0.5 + Math.abs(v) : (v) => v / 2 || 0.1),
    ),
  );
  const x = model.inputs.map(({ shape, dtype }) =>
    dtype === 'int32'
      ? draw([2, ...shape.slice(1).map(Number)], (v) => Math.floor((v + 1) * 5), 'i32')
      : draw([2, ...shape.slice(1).map(Number)], (v) => v),
  );
  return { model, x };
}
