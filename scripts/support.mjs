// docs/support.md: what the test processes left in a folder becomes the page, or is compared with it.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../docs/support.md', import.meta.url));

/** Whether a compiled test notes what it proves. */
export function proves(file) {
  return /testing\/(layer-fixtures|loss-fixtures|support)\.js/.test(readFileSync(file, 'utf8'));
}

/**
 * @param root compiled sources
 * @param folder where test processes left what they proved
 * @param write whether to write the page rather than to compare
 * @returns whether the page and the tests agree now
 */
export async function checkSupport(root, folder, write) {
  const { renderSupport, supportDifferences } = await import(`${root}/testing/support-page.js`);
  const { SUPPORT_TARGETS } = await import(`${root}/testing/devices.js`);
  const proofs = readdirSync(folder).flatMap((file) => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')));
  if (write) {
    writeFileSync(PAGE, renderSupport(proofs, SUPPORT_TARGETS));
    console.log(`docs/support.md: ${proofs.length} results`);
    return true;
  }
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
  const differences = supportDifferences(page, proofs, SUPPORT_TARGETS);
  if (differences.length === 0) return true;
  const shown = differences.slice(0, 20).map((line) => `  ${line}`);
  if (differences.length > shown.length) shown.push(`  … and ${differences.length - shown.length} more`);
  console.error(`docs/support.md is not what the tests prove; npm run support writes it:\n${shown.join('\n')}`);
  return false;
}
