import { speedRatio } from '../harness/statistics.mjs';

// Results of one case or network and one number of threads are objects by column: {ms, fastestMs, speeds}, speeds one per round.

/** Speed of one in units of another, in the same rounds; undefined where one is missing. */
export function ratio(a, b) {
  if (a === undefined || b === undefined) return undefined;
  // Speeds, not times: more is better.
  return speedRatio(b.speeds, a.speeds);
}

/** [column, result] of the fastest of these columns; undefined where none took part. */
export function fastest(results, columns) {
  return columns
    .filter((column) => results[column] !== undefined)
    .map((column) => [column, results[column]])
    .sort(([, a], [, b]) => a.ms - b.ms)[0];
}

export const percent = (x) => (x === undefined ? '–' : `${Math.round(100 * x)} %`);

/** `1.85×` */
export const times = (x) => {
  if (x === undefined || !Number.isFinite(x)) return '–';
  return x < 10 ? `${x.toFixed(2)}×` : `${Math.round(x)}×`;
};

/** A goal that is met by `wanted` or more; undefined values make none. `text` writes both. */
export function atLeast(what, value, wanted, text = times) {
  if (value === undefined || Number.isNaN(value)) return [];
  return [{ what, value: text(value), wanted: `≥ ${text(wanted)}`, met: value >= wanted, short: 1 - value / wanted }];
}

/** A goal that is met by `wanted` or less; see {@link atLeast}. */
export function atMost(what, value, wanted, text = times) {
  if (value === undefined || Number.isNaN(value)) return [];
  return [{ what, value: text(value), wanted: `≤ ${text(wanted)}`, met: value <= wanted, short: value / wanted - 1 }];
}
