import { formatExtents } from './format.js';
import type { SummaryRow } from './summary.js';

/** `14×14`, or `all` where an element sees the whole image. */
export function receptiveText(row: SummaryRow): string {
  return row.receptiveField === undefined ? 'all' : formatExtents(row.receptiveField);
}
