import { type Html, type HtmlPart, html } from './html.js';

/** Up to so many classes every cell shows its count. */
const MOST_NUMBERED = 25;

/**
 * The confusion matrix as a heat map: rows are true classes, columns are predictions. A cell's shade is its share of the row; shares
 * of errors go through a square root, so that rare ones can be seen.
 */
export function confusionTable(classes: readonly string[], counts: readonly (readonly number[])[]): Html {
  if (classes.length > MOST_NUMBERED) return denseMatrix(classes, counts);
  const turned = classes.some((name) => [...name].length > 3);
  return html`<div class="scroll"><table class="matrix${classes.length <= 7 ? ' few' : ''}"><thead><tr class="${turned ? 'turned' : 'level'}"><th class="axisname">predicted →<br>true ↓</th>${classes.map(
    (name) => html`<th class="col" scope="col" title="${name}"><span>${name}</span></th>`,
  )}</tr></thead><tbody>${classes.map((name, row) => {
    const total = sum(counts[row]);
    return html`<tr><th class="row" scope="row" title="${name}">${name}</th>${counts[row].map((count, column) => {
      const strength = shade(count, total, row === column);
      const kinds = [row === column && 'right', count === 0 && 'zero', strength > 0.55 && 'on'].filter(Boolean);
      return html`<td class="${kinds.join(' ')}" style="--v:${strength.toFixed(3)}" title="${describe(classes, row, column, count, total)}">${count}</td>`;
    })}</tr>`;
  })}</tbody></table></div>`;
}

function denseMatrix(classes: readonly string[], counts: readonly (readonly number[])[]): Html {
  const n = classes.length;
  const cells: HtmlPart[] = [];
  counts.forEach((line, row) => {
    const total = sum(line);
    line.forEach((count, column) => {
      if (count === 0) return;
      const strength = shade(count, total, row === column);
      cells.push(
        html`<rect class="${row === column ? 'r' : 'w'}" x="${column}" y="${row}" width="1" height="1" opacity="${strength.toFixed(2)}"><title>${describe(classes, row, column, count, total)}</title></rect>`,
      );
    });
  });
  return html`<p class="note">Rows are true classes, columns are predictions, in the order of the classes; point at a cell for its count.</p><svg class="dense" viewBox="0 0 ${n} ${n}" style="max-width:640px" role="img" aria-label="confusion matrix of ${n} classes"><rect class="back" width="${n}" height="${n}"/>${cells}</svg>`;
}

function shade(count: number, total: number, correct: boolean): number {
  if (count === 0 || total === 0) return 0;
  const share = count / total;
  return correct ? 0.15 + 0.85 * share : Math.min(1, 0.12 + 0.88 * Math.sqrt(share));
}

function describe(classes: readonly string[], row: number, column: number, count: number, total: number): string {
  const share = total === 0 ? '' : `, ${((100 * count) / total).toFixed(1)} % of ${total}`;
  return row === column
    ? `${classes[row]}: ${count} right${share}`
    : `${classes[row]} taken for ${classes[column]}: ${count}${share}`;
}

/** The errors that happen most often, as a sentence each. */
export function commonConfusions(
  classes: readonly string[],
  counts: readonly (readonly number[])[],
  most = 5,
): Html | undefined {
  const pairs = counts
    .flatMap((line, row) => line.map((count, column) => ({ count, row, column, total: sum(line) })))
    .filter(({ count, row, column }) => row !== column && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, most);
  if (pairs.length === 0) return undefined;
  return html`<h3>Most frequent errors</h3><table class="rows"><thead><tr><th>true</th><th>taken for</th><th class="num">images</th><th class="num">of the class</th></tr></thead><tbody>${pairs.map(
    ({ count, row, column, total }) =>
      html`<tr><td class="name" title="${classes[row]}">${classes[row]}</td><td class="name" title="${classes[column]}">${classes[column]}</td><td class="num">${count}</td><td class="num">${((100 * count) / total).toFixed(1)} %</td></tr>`,
  )}</tbody></table>`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
