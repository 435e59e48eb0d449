// `node network-gabor.mjs MODEL.onnx INPUT SHAPE`: loads a network and prints what it says of one image, then its largest resident set.
import { readFloats } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { peakMemory } from '../harness/memory.mjs';

const [file, input, shape] = process.argv.slice(2);
const { compile, loadOnnx, tensor } = await importGabor('bundle/index.js');
const network = (await loadOnnx(file)).eval();
const predict = compile((x) => network.call(x));
const y = await predict(tensor(readFloats(input), { shape: JSON.parse(shape) }));
process.stdout.write(`${JSON.stringify([...y.data()])}\n`);
process.stdout.write(`${JSON.stringify({ peak: peakMemory() })}\n`);
process.exit(0);
