// What the scripts that make fixtures with packages for Node share.
import { createRequire } from 'node:module';

/**
 * Packages that `npm install` in bench/ brings; where they are missing, the script ends without having done anything.
 * @param script its name, for the message
 * @param product what is missing then
 * @param load gets `require` of bench/
 */
export function fromBench(script, product, load) {
  try {
    return load(createRequire(new URL('../bench/package.json', import.meta.url)));
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    console.log(`${script}: ${product} is not installed (npm install in bench/); nothing done`);
    process.exit(0);
  }
}

/** TensorFlow.js with its layers, on the CPU. */
export function tensorflow(script) {
  return fromBench(script, 'TensorFlow.js', (require) => {
    const tf = { ...require('@tensorflow/tfjs-core'), ...require('@tensorflow/tfjs-layers') };
    require('@tensorflow/tfjs-backend-cpu');
    return tf;
  });
}

/** Numbers with three digits from -1 to 1 of a linear congruential generator, so that files are the same every time. */
export class Numbers {
  #state = 1;

  seed(state) {
    this.#state = state;
  }

  next() {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.round((this.#state / 2 ** 31 - 1) * 1000) / 1000;
  }
}

export const size = (shape) => shape.reduce((a, b) => a * b, 1);

/** A tensor of TensorFlow.js as fixtures hold it. */
export const toArray = (t) => ({ shape: t.shape, data: Array.from(t.dataSync(), (v) => Number(v.toPrecision(7))) });
