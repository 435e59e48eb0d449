import { type Html, html } from './html.js';

export interface Series {
  readonly name: string;
  /** Of the colours of the style sheet: `train` or `validation`. */
  readonly role: 'train' | 'validation';
  /** One value per x; undefined leaves a gap. */
  readonly values: readonly (number | undefined)[];
}

export interface LineChart {
  readonly title: string;
  /** Whole numbers in ascending order, usually epochs. */
  readonly x: readonly number[];
  readonly xLabel: string;
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** The axis ends here at the latest, for example 1 for shares. */
  readonly most?: number;
  /** The axis begins here at the latest. Default: with the data. */
  readonly least?: number;
}

const WIDTH = 520;
const HEIGHT = 280;
const LEFT = 52;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 40;

/** Round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`. */
export function niceTicks(low: number, high: number, count = 5): number[] {
  const span = high > low ? high - low : Math.max(Math.abs(high), 1) * 0.1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  // i · step has rounding noise (3 · 0.1); a division by a whole number has not.
  return Array.from({ length: last - first + 1 }, (_, i) =>
    step < 1 ? (first + i) / Math.round(1 / step) : (first + i) * step,
  );
}

/** Whole numbers from the first to the last x, at most about eight of them. */
function wholeTicks(x: readonly number[]): number[] {
  const first = x[0];
  const last = x[x.length - 1];
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500].find((s) => (last - first) / s <= 8) ?? 1000;
  const ticks = first % step === 0 ? [] : [first];
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) ticks.push(tick);
  return ticks;
}

const px = (value: number): string => value.toFixed(1).replace(/\.0$/, '');

/** Lines over epochs as inline SVG. Pointing at an epoch shows its values (style rules only, no script). */
export function lineChart(chart: LineChart): Html {
  const { x, series } = chart;
  const finite = series.flatMap((s) => s.values).filter((v): v is number => v !== undefined && Number.isFinite(v));
  if (x.length === 0 || finite.length === 0) return html`<p class="note">no finite values</p>`;
  const low = Math.min(...finite, chart.least ?? Number.POSITIVE_INFINITY);
  const high = Math.max(...finite);
  let ticks = niceTicks(low, high);
  if (chart.most !== undefined) ticks = ticks.filter((tick) => tick <= chart.most! + 1e-9);
  if (chart.most !== undefined && high > ticks[ticks.length - 1]) ticks.push(chart.most);
  const bottom = Math.min(ticks[0], low);
  const top = Math.max(ticks[ticks.length - 1], high);
  const span = x[x.length - 1] - x[0];
  const plotWidth = WIDTH - LEFT - RIGHT;
  const plotHeight = HEIGHT - TOP - BOTTOM;
  const inset = 10;
  const xAt = (value: number): number =>
    span === 0 ? LEFT + plotWidth / 2 : LEFT + inset + ((value - x[0]) / span) * (plotWidth - 2 * inset);
  const yAt = (value: number): number => TOP + plotHeight * (1 - (value - bottom) / (top - bottom || 1));

  const grid = ticks.map(
    (tick) =>
      html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(yAt(tick))}" y2="${px(yAt(tick))}"/><text class="tick" x="${LEFT - 8}" y="${px(yAt(tick) + 4)}" text-anchor="end">${chart.format(tick)}</text>`,
  );
  const columns = wholeTicks(x).map(
    (tick) =>
      html`<line class="axis" x1="${px(xAt(tick))}" x2="${px(xAt(tick))}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM + 4}"/><text class="tick" x="${px(xAt(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${tick}</text>`,
  );
  const lines = series.map(({ role, values }) => {
    const points = segments(x, values);
    return points.map((run) =>
      run.length === 1
        ? html`<circle class="dot ${role}" cx="${px(xAt(run[0][0]))}" cy="${px(yAt(run[0][1]))}" r="4"/>`
        : html`<polyline class="line ${role}" points="${run.map(([u, v]) => `${px(xAt(u))},${px(yAt(v))}`).join(' ')}"/>`,
    );
  });
  const step = span === 0 ? 2 * plotWidth : (plotWidth - 2 * inset) / span;
  const hovers = x.map((value, i) => {
    const here = series.filter((s) => s.values[i] !== undefined);
    const at = xAt(value);
    const from = Math.max(LEFT, at - step / 2);
    const to = Math.min(WIDTH - RIGHT, at + step / 2);
    const boxWidth = 148;
    const boxX = at < LEFT + plotWidth / 2 ? at + 10 : at - 10 - boxWidth;
    const boxHeight = 24 + 17 * here.length;
    // Keep away from the lines: losses fall and accuracies rise, so one of the ends is free.
    const boxY = TOP + (plotHeight - boxHeight) / 2;
    return html`<g class="hit"><rect x="${px(from)}" y="${TOP}" width="${px(to - from)}" height="${plotHeight}"/><g class="tip"><line class="cross" x1="${px(at)}" x2="${px(at)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>${here.map(
      (s) =>
        Number.isFinite(s.values[i]) &&
        html`<circle class="dot ${s.role}" cx="${px(at)}" cy="${px(yAt(s.values[i]!))}" r="4"/>`,
    )}<rect class="box" x="${px(boxX)}" y="${px(boxY)}" width="${boxWidth}" height="${boxHeight}" rx="5"/><text class="tick" x="${px(boxX + 10)}" y="${px(boxY + 17)}">${chart.xLabel} ${value}</text>${here.map(
      (s, k) =>
        html`<circle class="dot ${s.role}" cx="${px(boxX + 14)}" cy="${px(boxY + 30 + 17 * k)}" r="3.5"/><text class="name" x="${px(boxX + 24)}" y="${px(boxY + 34 + 17 * k)}">${s.name}</text><text class="value" x="${px(boxX + boxWidth - 10)}" y="${px(boxY + 34 + 17 * k)}" text-anchor="end">${chart.format(s.values[i]!)}</text>`,
    )}</g></g>`;
  });
  const summary = series
    .map((s) => {
      const last = s.values.filter((v) => v !== undefined).pop();
      return last === undefined ? '' : `${s.name} ends at ${chart.format(last)}`;
    })
    .filter((text) => text !== '')
    .join(', ');
  return html`<figure class="chart"><figcaption><b>${chart.title}</b><span class="legend">${series.map(
    (s) => html`<span><i class="${s.role}"></i>${s.name}</span>`,
  )}</span></figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${chart.title}: ${summary}">${grid}<line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM}"/>${columns}<text class="tick" x="${LEFT + plotWidth / 2}" y="${HEIGHT - 4}" text-anchor="middle">${chart.xLabel}</text>${lines}${hovers}</svg></figure>`;
}

/** Runs of neighbouring finite values. */
function segments(x: readonly number[], values: readonly (number | undefined)[]): [number, number][][] {
  const runs: [number, number][][] = [];
  let open = false;
  values.forEach((value, i) => {
    if (value === undefined || !Number.isFinite(value)) {
      open = false;
      return;
    }
    if (!open) runs.push([]);
    open = true;
    runs[runs.length - 1].push([x[i], value]);
  });
  return runs;
}
