import { formatBytes, formatCount, formatExtents } from '../format.js';
import type { ModelSummary } from '../summary.js';
import { receptiveText } from '../summary-text.js';
import { type Html, html } from './html.js';

/** The model's layers with shapes and costs. */
export function summaryTable({ rows, totals }: ModelSummary): Html {
  return html`<div class="scroll"><table class="rows"><thead><tr><th>layer</th><th>kernel</th><th>input</th><th>output</th><th class="num">parameters</th><th class="num">multiply-adds</th><th class="num">activations</th><th class="num">sees</th></tr></thead><tbody>${rows.map(
    (row) =>
      html`<tr><td style="padding-left:${18 * row.depth}px">${row.type} <span class="tree">${row.name}</span></td><td>${row.kernel}</td><td>${formatExtents(row.inputShape)}</td><td>${formatExtents(row.outputShape)}</td><td class="num">${row.again ? 'shared' : amount(row.parameters, row.container)}</td><td class="num">${amount(row.multiplyAdds, row.container)}</td><td class="num">${row.activationBytes === 0 ? '' : formatBytes(row.activationBytes)}</td><td class="num">${row.container ? '' : receptiveText(row)}</td></tr>`,
  )}<tr class="total"><td>total</td><td></td><td></td><td></td><td class="num">${formatCount(totals.parameters)}</td><td class="num">${formatCount(totals.multiplyAdds)}</td><td class="num">${formatBytes(totals.activationBytes)}</td><td></td></tr></tbody></table></div>`;
}

function amount(value: number, container: boolean): string {
  return value === 0 && container ? '' : value === 0 ? '—' : formatCount(value);
}
