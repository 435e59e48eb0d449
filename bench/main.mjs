// `npm run bench` from the project's folder; see README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { build, importGabor } from './harness/gabor.mjs';
import { describeMachine, machineText } from './harness/machine.mjs';
import { installPeers } from './harness/peers.mjs';
import { markdownTable } from './harness/table.mjs';

const SUITES = {
  conv: async (options) => {
    const { runConv } = await import('./suites/conv.mjs');
    const { convMarkdown, convRatios, convGoals } = await import('./suites/conv-report.mjs');
    const result = await runConv(options);
    return {
      result: { ...result, ratios: convRatios(result) },
      markdown: convMarkdown(result),
      goals: convGoals(result),
    };
  },
  tiles: async (options) => {
    const { runTiles, tilesMarkdown, tilesGoals } = await import('./suites/tiles.mjs');
    const result = await runTiles(options);
    return { result, markdown: tilesMarkdown(result), goals: tilesGoals(result) };
  },
  train: async (options) => {
    const { runTrain, trainMarkdown, trainGoals } = await import('./suites/train.mjs');
    const result = await runTrain(options);
    return { result, markdown: trainMarkdown(result), goals: trainGoals(result) };
  },
  nets: async (options) => {
    const { runNets, netsMarkdown, netsGoals } = await import('./suites/nets.mjs');
    const result = await runNets(options);
    return { result, markdown: netsMarkdown(result), goals: netsGoals(result) };
  },
  start: async (options) => {
    const { runStart, startMarkdown, startGoals } = await import('./suites/start.mjs');
    const result = await runStart(options);
    return { result, markdown: startMarkdown(result), goals: startGoals(result) };
  },
  memory: async (options) => {
    const { runMemory, memoryMarkdown, memoryGoals } = await import('./suites/memory.mjs');
    const result = await runMemory(options);
    return { result, markdown: memoryMarkdown(result), goals: memoryGoals(result) };
  },
  types: async () => {
    const { runTypes, typesMarkdown, typesGoals } = await import('./suites/types.mjs');
    const result = runTypes();
    return { result, markdown: typesMarkdown(result), goals: typesGoals(result) };
  },
};

const USAGE = `usage: npm run bench -- [conv] [nets] [train] [start] [tiles] [memory] [types] [options]      (default: all seven)

  --threads 1,2     numbers of threads (default: 1 and 2, as far as there are processors)
  --rounds N        interleaved rounds (default 5)
  --seconds S       of each contestant in each round (default 0.1)
  --steps N         of the loop in \`memory\` (default 1000)
  --cases A01,B     only cases that begin so
  --networks lenet  only these; train has lenet, vgg, resnet18; nets has squeezenet1_1, mobilenet_v2, resnet18, resnet50, vgg16
  --only gabor,…    only these contestants
  --details         conv: also eight convolutions in a row, and the gradients one by one
  --steady          nets: without fresh processes
  --slow            also networks that take a contestant minutes
  --quick           one short round: whether everything runs, not how fast
  --json FILE       write the results
  --write           replace the tables in bench/README.md`;

async function main() {
  const list = { type: 'string' };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      threads: list,
      rounds: list,
      seconds: list,
      steps: list,
      cases: list,
      networks: list,
      only: list,
      json: list,
      details: { type: 'boolean' },
      slow: { type: 'boolean' },
      steady: { type: 'boolean' },
      quick: { type: 'boolean' },
      write: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const unknown = positionals.filter((name) => !Object.hasOwn(SUITES, name));
  if (values.help || unknown.length > 0) {
    console.error(unknown.length > 0 ? `there is no suite ${unknown.join(', ')}\n\n${USAGE}` : USAGE);
    process.exitCode = unknown.length > 0 ? 1 : 0;
    return;
  }
  const split = (text) => text?.split(',');
  const positive = (name, fallback) => {
    const number = Number(values[name] ?? fallback);
    if (!(number > 0)) throw new Error(`--${name} must be a number above 0, got ${values[name]}`);
    return number;
  };
  const processors = availableParallelism();
  const options = {
    threads: split(values.threads)?.map(Number) ?? [1, 2].filter((n) => n <= processors),
    rounds: positive('rounds', values.quick ? 1 : 5),
    seconds: positive('seconds', values.quick ? 0.02 : 0.1),
    steps: positive('steps', values.quick ? 100 : 1000),
    cases: split(values.cases),
    networks: split(values.networks),
    only: split(values.only),
    details: values.details ?? false,
    slow: values.slow ?? false,
    steady: values.steady ?? false,
    quick: values.quick ?? false,
  };
  if (!options.threads.every((n) => Number.isInteger(n) && n > 0))
    throw new Error('--threads takes whole numbers: 1,2');
  await importGabor();
  const suites = positionals.length > 0 ? positionals : Object.keys(SUITES);
  if (suites.some((name) => name !== 'types')) installPeers();
  const machine = describeMachine();
  console.log(`Machine: ${machineText(machine)}.\n`);
  const report = { date: new Date().toISOString(), machine, options };
  console.error(`Gabor from ${build}`);
  for (const name of suites) {
    const { result, markdown, goals } = await SUITES[name](options);
    const goalTable =
      goals.length === 0
        ? ''
        : `\n\n#### Goals\n\n${markdownTable(
            ['goal', 'measured', 'wanted', ''],
            goals.map(({ what, value, wanted, met, short }) => [what, value, wanted, met ? 'met' : missed(short)]),
          )}`;
    console.log(`${markdown}${goalTable}\n`);
    report[name] = { ...result, goals };
    if (values.write)
      writeSection(name, `Machine: ${machineText(machine)}. ${report.date.slice(0, 10)}.\n\n${markdown}${goalTable}`);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
  }
}

/** @param short which part of the goal is missing, where that makes sense */
function missed(short) {
  if (short === undefined) return 'missed';
  return `missed by ${short < 0.1 ? (100 * short).toFixed(1) : Math.round(100 * short)} %`;
}

/** Replaces what stands between the two marks of a section. */
function writeSection(name, text) {
  const file = new URL('./README.md', import.meta.url);
  const before = readFileSync(file, 'utf8');
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  if (!before.includes(begin) || !before.includes(end)) throw new Error(`README.md has no marks ${begin} and ${end}`);
  const [head] = before.split(begin);
  const tail = before.slice(before.indexOf(end));
  writeFileSync(file, `${head}${begin}\n\n${text}\n\n${tail}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
