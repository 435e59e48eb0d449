// `node network-onnxruntime.mjs MODEL.onnx INPUT SHAPE PACKAGE`, see network-gabor.mjs.
import { readFloats } from '../harness/arrays.mjs';
import { peakMemory } from '../harness/memory.mjs';

const [file, input, shape, name] = process.argv.slice(2);
const module = await import(name);
const ort = module.default ?? module;
const session = await ort.InferenceSession.create(file, {
  executionProviders: [name === 'onnxruntime-web' ? 'wasm' : 'cpu'],
});
const { output } = await session.run({ input: new ort.Tensor('float32', readFloats(input), JSON.parse(shape)) });
process.stdout.write(`${JSON.stringify([...output.data])}\n`);
process.stdout.write(`${JSON.stringify({ peak: peakMemory() })}\n`);
process.exit(0);
