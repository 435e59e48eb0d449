import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Shape } from '../tensor/shape.js';

/** What tests use of TensorFlow.js. */
interface TensorFlow {
  tensor(data: ArrayLike<number>, shape: Shape, dtype: string): object;
  loadLayersModel(handler: { load(): Promise<object> }): Promise<TensorFlowModel>;
  io: { fromMemory(artifacts: object): { load(): Promise<object> } };
}

interface TensorFlowModel {
  predict(x: object): TensorFlowTensor | TensorFlowTensor[];
}

interface TensorFlowTensor {
  readonly shape: Shape;
  dataSync(): ArrayLike<number>;
}

export const NO_TENSORFLOW = 'TensorFlow.js is not installed; run npm ci --prefix bench';

/** TensorFlow.js, which is installed for measurements and fixtures (`npm ci --prefix bench`) and not for the product; undefined where it is not there. */
export function tensorflow(): TensorFlow | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'bench', 'package.json');
    if (existsSync(path)) {
      const require = createRequire(path);
      try {
        const tf = { ...require('@tensorflow/tfjs-core'), ...require('@tensorflow/tfjs-layers') };
        require('@tensorflow/tfjs-backend-cpu');
        return tf as TensorFlow;
      } catch {
        return undefined;
      }
    }
    if (dirname(folder) === folder) return undefined;
  }
}
