import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFixtures } from '../../testing/fixtures.js';
import { type LayerCase, testLayerFixtures } from '../../testing/layer-fixtures.js';
import { moduleFromConfig } from '../registry.js';

testLayerFixtures('convolutions');

test('the configuration of every case survives JSON', () => {
  for (const { name, layer } of readFixtures<LayerCase>('convolutions')) {
    const config = moduleFromConfig(layer).config();
    const again = moduleFromConfig(JSON.parse(JSON.stringify(config))).config();
    assert.deepEqual(again, config, name);
    for (const key of Object.keys(layer)) assert.ok(key in config, `${name}: ${key} is part of the configuration`);
  }
});
