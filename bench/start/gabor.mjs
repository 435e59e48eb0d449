// As a user's program would be: `node gabor.mjs MODEL INPUT` loads a model and prints what it says of one image.
import { readFloats } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';

const [model, input] = process.argv.slice(2);
const { compile, load, tensor } = await importGabor();
const { model: network } = await load(model);
const predict = compile((x) => network.call(x));
const y = predict.sync(tensor(readFloats(input), { shape: [1, 1, 28, 28] }));
process.stdout.write(`${JSON.stringify([...y.data()])}\n`);
process.exit(0);
