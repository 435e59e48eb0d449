// `node bench/types/check.mjs`: fails where the types have become more expensive than the budget; `--write` makes what is measured
// the budget.
import { compareTypes, measureTypes, readBudget, TOLERANCE, typescriptVersion, writeBudget } from './measure.mjs';

const measured = measureTypes();
if (process.argv.includes('--write')) writeBudget(measured);
const budget = readBudget();
const rows = compareTypes(measured, budget);
const over = rows.filter((row) => row.over);
for (const { program, count, measured: now, budget: allowed } of over) {
  console.error(
    `${program}: ${now} ${count.toLowerCase()}, more than ${TOLERANCE * 100} % above the budget of ${allowed}`,
  );
}
if (over.length > 0) {
  if (budget.typescript !== typescriptVersion) {
    console.error(`The budget was made with TypeScript ${budget.typescript}, this is ${typescriptVersion}.`);
  }
  console.error('Make the types cheaper, or, where they are worth it: node bench/types/check.mjs --write');
  process.exitCode = 1;
} else {
  const text = rows.filter(({ count }) => count === 'Instantiations').map((row) => `${row.program} ${row.measured}`);
  console.log(`Type instantiations within their budget: ${text.join(', ')}.`);
}
