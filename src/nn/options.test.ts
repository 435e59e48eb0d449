import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionError } from '../tensor/errors.js';
import { readFixtures } from '../testing/fixtures.js';
import { type LayerCase, testLayerFixtures } from '../testing/layer-fixtures.js';
import type { LayerConfig } from './config.js';
import { layerTypes, moduleFromConfig } from './registry.js';

testLayerFixtures('options');

const FIXTURES = [
  'activations',
  'containers',
  'convolutions',
  'layers',
  'normalization',
  'options',
  'padding-layers',
  'pooling',
  'recurrent',
  'resizing',
];

/** Layers whose function other tests compare with PyTorch. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  MaxUnpool1d: 'needs indices: layers/pooling.test.ts',
  MaxUnpool2d: 'needs indices: layers/pooling.test.ts',
  MaxUnpool3d: 'needs indices: layers/pooling.test.ts',
  ModuleList: 'has no function of its own: containers.test.ts',
};

/** Options that take one of a few words; lists and numbers are further values. */
const WORDS: readonly (readonly [type: RegExp, option: string, words: readonly string[]])[] = [
  [/^(Conv|DepthwiseConv|SeparableConv)[123]d$/, 'paddingMode', ['constant', 'reflect', 'circular', 'replicate']],
  [/^(Conv|DepthwiseConv|SeparableConv)[123]d$/, 'padding', ['same', 'valid']],
  [/^(Conv|DepthwiseConv|SeparableConv)1d$/, 'padding', ['causal']],
  [/^ConvTranspose[123]d$/, 'padding', ['same', 'valid']],
  [/^(Max|Avg|LP)Pool[123]d$/, 'padding', ['same']],
  [/^Parallel$/, 'merge', ['sum', 'mean', 'product', 'max']],
  [/^GELU$/, 'approximate', ['tanh']],
  [/^RNN$/, 'nonlinearity', ['relu']],
  [/^Upsample$/, 'mode', ['nearest', 'nearest-exact', 'area', 'linear', 'bilinear', 'trilinear', 'bicubic']],
];

/** Options that have one value only, or none that a configuration can hold. */
const SINGLE: ReadonlySet<string> = new Set([
  'ConvTranspose1d paddingMode',
  'ConvTranspose2d paddingMode',
  'ConvTranspose3d paddingMode',
]);

/** The options that a layer takes, from what it says of one that it does not know. */
function optionsOf(config: LayerConfig): string[] {
  try {
    moduleFromConfig({ ...config, 'no option': 1 });
  } catch (error) {
    const known = error instanceof OptionError && /known options are (.*)$/.exec(error.message);
    if (known) return known[1].split(', ').filter((key) => key !== 'type');
    throw error;
  }
  throw new Error(`${config.type} takes any option`);
}

test('every option of every layer is compared with PyTorch', () => {
  const cases = new Map<string, LayerConfig[]>();
  for (const { layer } of FIXTURES.flatMap((name) => readFixtures<LayerCase>(name))) {
    cases.set(layer.type, [...(cases.get(layer.type) ?? []), layer]);
  }
  const missing: string[] = [];
  for (const type of layerTypes()) {
    if (type in ELSEWHERE) continue;
    const configs = cases.get(type);
    if (configs === undefined) {
      missing.push(type);
      continue;
    }
    // Layers that size themselves share all but the first call with the ordinary ones.
    if (!type.startsWith('Lazy')) {
      for (const option of optionsOf(configs[0])) {
        if (!SINGLE.has(`${type} ${option}`) && !configs.some((config) => option in config))
          missing.push(`${type}: ${option}`);
      }
    }
    for (const [pattern, option, words] of WORDS) {
      if (!pattern.test(type)) continue;
      for (const word of words) {
        if (!configs.some((config) => config[option] === word)) missing.push(`${type}: ${option} "${word}"`);
      }
    }
  }
  assert.deepEqual(missing, []);
});
