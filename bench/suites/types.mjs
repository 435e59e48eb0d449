import { markdownTable } from '../harness/table.mjs';
import { compareTypes, measureTypes, readBudget, TOLERANCE, typescriptVersion } from '../types/measure.mjs';

/** What programs that use the package cost the compiler, beside the committed budget. */
export function runTypes() {
  const measured = measureTypes();
  return { typescript: typescriptVersion, measured, rows: compareTypes(measured, readBudget()) };
}

export function typesMarkdown({ typescript, measured }) {
  return `### Types

TypeScript ${typescript}, one checker.

${markdownTable(
  ['program', 'instantiations', 'types', 'check, s'],
  Object.entries(measured).map(([program, { Instantiations, Types, seconds }]) => [
    program,
    String(Instantiations),
    String(Types),
    seconds.toFixed(2),
  ]),
)}`;
}

export function typesGoals({ rows }) {
  return rows.map(({ program, count, measured, budget, over }) => ({
    what: `${program}: ${count.toLowerCase()}`,
    value: String(measured),
    wanted: `≤ ${Math.floor(budget * (1 + TOLERANCE))}`,
    met: !over,
  }));
}
