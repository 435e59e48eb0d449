import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compile } from '../graph/compile.js';
import type { Tensor } from '../tensor/tensor.js';
import { testOnDevices } from '../testing/devices.js';
import { tensor } from './create.js';
import { divide } from './maxunpool.js';

// Pooling and unpooling are compared with PyTorch beside the layers.

testOnDevices('integer division is exact beyond the 24 bits of single precision', () => {
  const most = 2 ** 31 - 1;
  const divisor = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70_000 }));
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: most }), { minLength: 200, maxLength: 200 }),
      divisor,
      (list, by) => {
        const edges = [0, 1, by - 1, by, by + 1, most - 1, most, most - (most % by), most - (most % by) - 1];
        const numbers = Int32Array.from([...list, ...edges]);
        const [quotient, rest] = compile((x: Tensor) => divide(x, by)).sync(tensor(numbers));
        assert.deepEqual(
          [...quotient.data()],
          Array.from(numbers, (n) => Math.floor(n / by)),
        );
        assert.deepEqual(
          [...rest.data()],
          Array.from(numbers, (n) => n % by),
        );
      },
    ),
    { numRuns: 20 },
  );
});
