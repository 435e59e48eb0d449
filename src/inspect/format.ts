/** How numbers and shapes are written, in tables of the terminal and in the report. */

import type { Shape } from '../tensor/shape.js';

/** `12,345` */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

const UNITS: readonly (readonly [number, string])[] = [
  [1e12, ' T'],
  [1e9, ' G'],
  [1e6, ' M'],
  [1e3, ' k'],
];

/** `416 k`, `1.82 M`: three significant digits. */
export function formatLarge(value: number): string {
  const unit = UNITS.find(([size]) => Math.abs(value) >= size * 0.9995);
  if (unit === undefined) return formatCount(value);
  return `${threeDigits(value / unit[0])}${unit[1]}`;
}

/** `512 B`, `23.4 KiB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${threeDigits(bytes / 2 ** (10 * power))} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

function threeDigits(value: number): string {
  const digits = Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
  return value.toFixed(digits);
}

/** `98.25 %`; an em dash where there is nothing to divide by. */
export function formatPercent(share: number, digits = 2): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : '—';
}

/** `8 s`, `1 min 05 s`, `2 h 03 min` */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '—';
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** `6×28×28` */
export function formatExtents(shape: Shape): string {
  return shape.join('×');
}
