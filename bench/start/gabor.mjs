// As a user's program would be: `node gabor.mjs MODEL INPUT` loads a model and prints what it says of one image.
import { readFloats } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';

const [model, input] = process.argv.slice(2);
const marks = [performance.now()];
const mark = () => marks.push(performance.now());
const { compile, load, tensor } = await importGabor('bundle/index.js');
mark();
const { model: network } = await load(model);
mark();
const predict = compile((x) => network.call(x));
const x = tensor(readFloats(input), { shape: [1, 1, 28, 28] });
const y = predict.sync(x).data();
process.stdout.write(`${JSON.stringify([...y])}\n`);
mark();
predict.sync(x).data();
mark();
const phases = marks.map((at, i) => at - (marks[i - 1] ?? 0));
process.stdout.write(`${JSON.stringify({ phases })}\n`);
process.exit(0);
