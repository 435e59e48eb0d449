// `node onnxruntime.mjs MODEL INPUT PACKAGE`, see gabor.mjs.
import { readFloats } from '../harness/arrays.mjs';

const [model, input, name] = process.argv.slice(2);
const module = await import(name);
const ort = module.default ?? module;
const executionProviders = [name === 'onnxruntime-web' ? 'wasm' : 'cpu'];
const session = await ort.InferenceSession.create(model, { executionProviders });
const { y } = await session.run({ x: new ort.Tensor('float32', readFloats(input), [1, 1, 28, 28]) });
process.stdout.write(`${JSON.stringify([...y.data])}\n`);
process.exit(0);
