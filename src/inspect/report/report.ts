import type { DecodedImage } from '../../data/index.js';
import type { EpochRecord } from '../../train/events.js';
import type { ClassMetrics } from '../../train/metrics.js';
import { formatBytes, formatCount, formatDuration, formatExtents, formatLarge, formatPercent } from '../format.js';
import type { ModelSummary } from '../summary.js';
import { lineChart } from './chart.js';
import { commonConfusions, confusionTable } from './confusion.js';
import { Html, type HtmlPart, html } from './html.js';
import { pictureUri } from './picture.js';
import { STYLE } from './style.js';
import { summaryTable } from './summary-table.js';

/** A picture that was classified. */
export interface ReportImage {
  readonly picture: DecodedImage;
  /** File name, where there is one. */
  readonly name?: string;
  /** Class indices. */
  readonly truth: number;
  readonly predicted: number;
  readonly probability: number;
  /** What the model gave the true class. */
  readonly truthProbability: number;
}

export interface ReportFilters {
  readonly layer: string;
  /** [out, in, height, width] */
  readonly shape: readonly number[];
  readonly pictures: readonly DecodedImage[];
  /** The ends of the colour scale stand for ±limit. */
  readonly limit: number;
  readonly colour: boolean;
}

export interface ReportMaps {
  readonly layer: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly maps: readonly {
    readonly channel: number;
    readonly low: number;
    readonly high: number;
    readonly picture: DecodedImage;
  }[];
}

/** Everything that the report shows. */
export interface ReportData {
  readonly model: string;
  readonly data: string;
  /** Date and time, as text. */
  readonly created: string;
  readonly version: string;
  readonly classes: readonly string[];
  readonly epochs: readonly EpochRecord[];
  /** Which images the validation values of the epochs are from. */
  readonly validatedOn: 'validation' | 'test' | 'none';
  readonly test: { readonly loss: number; readonly accuracy: number; readonly count: number };
  readonly trainingSeconds?: number;
  /** counts[true][predicted] */
  readonly confusion: readonly (readonly number[])[];
  readonly perClass: readonly ClassMetrics[];
  readonly filters?: ReportFilters;
  readonly sample?: ReportImage;
  readonly maps: readonly ReportMaps[];
  /** The most confident first. */
  readonly mistakes: readonly ReportImage[];
  readonly mistakeCount: number;
  readonly summary: ModelSummary;
  readonly options: readonly (readonly [name: string, value: string])[];
  readonly environment: readonly (readonly [name: string, value: string])[];
}

/** The report as one page that needs nothing else: style, charts and pictures are inside; it runs no script and loads nothing. */
export function renderReport(data: ReportData): string {
  const title = `${data.model} on ${data.data}`;
  const sections: readonly (readonly [id: string, label: string, body: Html | undefined])[] = [
    ['curves', 'Learning curves', curves(data)],
    ['classes', 'Classes', classes(data)],
    ['mistakes', 'Mistakes', mistakes(data)],
    ['filters', 'Filters', filters(data)],
    ['maps', 'Feature maps', featureMaps(data)],
    ['model', 'Model', model(data)],
    ['run', 'Run', run(data)],
  ];
  const shown = sections.filter(([, , body]) => body !== undefined);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="generator" content="gabor ${data.version}"><title>${title} · Gabor</title><style>${new Html(STYLE)}</style></head>
<body><header><h1>${title}</h1><p class="sub">Trained ${data.created} · ${formatCount(data.classes.length)} classes · image ${formatExtents(data.summary.inputShape)}</p>
<nav>${shown.map(([id, label]) => html`<a href="#${id}">${label}</a>`)}</nav></header>
<main>${tiles(data)}${shown.map(([id, , body]) => html`<section id="${id}">${body}</section>\n`)}</main>
<footer>Made by Gabor ${data.version}.</footer></body></html>
`;
  return page.text;
}

function tiles(data: ReportData): Html {
  const { test, summary, epochs } = data;
  const last = epochs[epochs.length - 1];
  const tile = (value: HtmlPart, label: HtmlPart): Html =>
    html`<div class="tile"><b>${value}</b><span>${label}</span></div>`;
  return html`<div class="tiles">${[
    tile(formatPercent(test.accuracy), html`test accuracy, ${formatCount(test.count)} images`),
    tile(test.loss.toFixed(4), 'test loss'),
    last?.validationAccuracy !== undefined &&
      data.validatedOn === 'validation' &&
      tile(formatPercent(last.validationAccuracy), 'validation accuracy, last epoch'),
    tile(formatLarge(summary.totals.parameters), 'parameters'),
    tile(formatLarge(summary.totals.multiplyAdds), 'multiply-adds per image'),
    tile(
      data.trainingSeconds === undefined ? formatCount(epochs.length) : formatDuration(data.trainingSeconds),
      `training, ${epochs.length} ${epochs.length === 1 ? 'epoch' : 'epochs'}`,
    ),
  ]}</div>`;
}

function curves({ epochs, validatedOn }: ReportData): Html | undefined {
  if (epochs.length === 0) return undefined;
  const x = epochs.map((e) => e.epoch);
  const validated = epochs.some((e) => e.validationLoss !== undefined);
  const other = validatedOn === 'test' ? 'test' : 'validation';
  const chart = (
    title: string,
    train: (e: EpochRecord) => number | undefined,
    validation: (e: EpochRecord) => number | undefined,
    more: { format: (v: number) => string; most?: number; least?: number },
  ): Html =>
    lineChart({
      title,
      x,
      xLabel: 'epoch',
      series: [
        { name: 'train', role: 'train', values: epochs.map(train) },
        ...(validated ? [{ name: other, role: 'validation' as const, values: epochs.map(validation) }] : []),
      ],
      ...more,
    });
  const cells = (values: readonly (string | undefined)[]): HtmlPart =>
    values.map((value) => html`<td class="num">${value ?? '—'}</td>`);
  return html`<h2>Learning curves</h2><p class="note">Training values are means over the batches of an epoch, while the weights still change and images are augmented; ${other} values come after the epoch.</p>
<div class="pair">${chart(
    'Loss',
    (e) => e.loss,
    (e) => e.validationLoss,
    { format: (v) => formatLoss(v), least: 0 },
  )}${chart(
    'Accuracy',
    (e) => e.accuracy,
    (e) => e.validationAccuracy,
    { format: (v) => `${+(100 * v).toFixed(2)} %`, most: 1 },
  )}</div>
<details><summary>Values</summary><div class="scroll"><table class="rows"><thead><tr>${[
    'epoch',
    'train loss',
    'train accuracy',
    `${other} loss`,
    `${other} accuracy`,
    'learning rate',
    'time',
  ].map((name) => html`<th class="num">${name}</th>`)}</tr></thead><tbody>${epochs.map(
    (e) =>
      html`<tr>${cells([
        String(e.epoch),
        e.loss.toFixed(4),
        e.accuracy === undefined ? undefined : formatPercent(e.accuracy),
        e.validationLoss?.toFixed(4),
        e.validationAccuracy === undefined ? undefined : formatPercent(e.validationAccuracy),
        e.learningRate?.toPrecision(3),
        e.seconds === undefined ? undefined : formatDuration(e.seconds),
      ])}</tr>`,
  )}</tbody></table></div></details>`;
}

function formatLoss(value: number): string {
  return String(+value.toPrecision(4));
}

function classes(data: ReportData): Html {
  const bar = (share: number): HtmlPart =>
    Number.isFinite(share) && html`<span class="bar"><i style="width:${(100 * share).toFixed(1)}%"></i></span>`;
  return html`<h2>Classes</h2><p class="note">On the test images. A row of the matrix is a true class, a column a prediction; <b style="color:var(--right)">blue</b> is right and <b style="color:var(--wrong)">orange</b> wrong, the stronger the larger its share of the row.</p>
<div class="pair"><div>${confusionTable(data.classes, data.confusion)}</div><div><div class="scroll"><table class="rows"><thead><tr><th>class</th><th class="num">precision</th><th class="num">recall</th><th class="num">F1</th><th class="num">images</th></tr></thead><tbody>${data.perClass.map(
    (row) =>
      html`<tr><td class="name" title="${row.class}">${row.class}</td><td class="num">${formatPercent(row.precision, 1)}${bar(row.precision)}</td><td class="num">${formatPercent(row.recall, 1)}${bar(row.recall)}</td><td class="num">${formatPercent(row.f1, 1)}</td><td class="num">${formatCount(row.count)}</td></tr>`,
  )}</tbody></table></div>${commonConfusions(data.classes, data.confusion)}</div></div>`;
}

function mistakes(data: ReportData): Html {
  const { mistakes: images, mistakeCount: count } = data;
  if (count === 0) return html`<h2>Mistakes</h2><p class="note">None: every test image was classified correctly.</p>`;
  return html`<h2>Mistakes <small>${formatCount(count)} of ${formatCount(data.test.count)} test images</small></h2><p class="note">${
    count > images.length
      ? html`The ${images.length} about which the model was most certain:`
      : 'All of them, the most certain first:'
  } ✗ what it took the image for, ✓ what the image is, each with the probability it gave.</p><div class="shots">${images.map(
    (image) => html`<div class="shot"><img src="${pictureUri(image.picture)}" alt="">${shot(data, image)}</div>`,
  )}</div>`;
}

/** What an image was taken for, and what it is where that is something else. */
function shot({ classes }: ReportData, image: ReportImage): Html {
  const { truth, predicted, probability, truthProbability, name } = image;
  const line = (right: boolean, index: number, share: number): Html =>
    html`<div class="l ${right ? 'ok' : 'p'}" title="${right ? 'true class' : 'taken for'} ${classes[index]}"><i>${right ? '✓' : '✗'}</i><b>${classes[index]}</b><span>${formatPercent(share, share < 0.995 ? 0 : 1)}</span></div>`;
  return html`${line(predicted === truth, predicted, probability)}${predicted !== truth && line(true, truth, truthProbability)}${name !== undefined && html`<div class="f" title="${name}">${name}</div>`}`;
}

function filters({ filters }: ReportData): Html | undefined {
  if (filters === undefined) return undefined;
  const [out, inputs, height, width] = filters.shape;
  const shown = filters.pictures.length;
  const all = filters.colour ? out : out * inputs;
  const note = filters.colour
    ? 'As colour images: grey is zero, a colour says which one the filter answers to.'
    : 'White is zero, red positive, blue negative.';
  return html`<h2>Filters of the first layer <small>${filters.layer}, ${out} × ${inputs}×${height}×${width}</small></h2><p class="note">${note} All on one scale.${shown < all && ` The first ${shown} of ${all}.`}</p>${
    !filters.colour && scale('diverging', `−${filters.limit.toPrecision(2)}`, `+${filters.limit.toPrecision(2)}`)
  }<div class="pictures filters" style="--side:${Math.max(40, Math.min(84, 12 * width))}px">${filters.pictures.map(
    (picture, i) => html`<img src="${pictureUri(picture)}" alt="filter ${i}" title="filter ${i}">`,
  )}</div>`;
}

function scale(kind: 'diverging' | 'sequential', low: string, high: string): Html {
  return html`<div class="scale">${low}<i class="${kind}"></i>${high}</div>`;
}

function featureMaps(data: ReportData): Html | undefined {
  const { sample, maps } = data;
  if (sample === undefined || maps.length === 0) return undefined;
  return html`<h2>Feature maps</h2><p class="note">What every convolution puts out for one test image, before normalisation and activation. Each map has its own scale; point at it for the values.</p>
<div class="sample"><img src="${pictureUri(sample.picture)}" alt="sample image"><div class="shot">${shot(data, sample)}</div></div>${scale('sequential', 'lowest', 'highest')}${maps.map(
    (layer) =>
      html`<h3>${layer.layer}<small>${layer.channels} channels of ${layer.height}×${layer.width}${layer.maps.length < layer.channels && `, ${layer.maps.length} shown`}</small></h3><div class="pictures maps">${layer.maps.map(
        ({ channel, low, high, picture }) =>
          html`<img src="${pictureUri(picture)}" alt="" title="channel ${channel}: ${low.toPrecision(3)} to ${high.toPrecision(3)}">`,
      )}</div>`,
  )}`;
}

function model({ summary }: ReportData): Html {
  const { totals } = summary;
  return html`<h2>Model</h2>${summaryTable(summary)}<p class="note" style="margin-top:10px">Weights ${formatBytes(totals.parameterBytes)} · activations ${formatBytes(totals.activationBytes)} for one image · ${formatCount(totals.buffers)} values of running statistics.</p>`;
}

function run({ options, environment }: ReportData): Html {
  const list = (title: string, entries: ReportData['options']): Html =>
    html`<div><h3>${title}</h3><dl>${entries.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></div>`;
  return html`<h2>Run</h2><div class="pair">${list('Options', options)}${list('Environment', environment)}</div>`;
}
