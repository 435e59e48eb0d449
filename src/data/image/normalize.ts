/** Mean and standard deviation per channel on the scale 0 … 1 (torchvision's convention). */
export interface ChannelStatistics {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * `(v / 255 − mean) / std` for images [count, channels, …] of bytes.
 *
 * @param into written to and returned; a new array by default.
 */
export function normalizeImages(
  images: Uint8Array,
  plane: number,
  statistics: ChannelStatistics,
  into?: Float32Array,
): Float32Array {
  const result = into ?? new Float32Array(images.length);
  const tables = normalizationTables(statistics);
  for (let start = 0, c = 0; start < images.length; start += plane, c = (c + 1) % tables.length) {
    const table = tables[c];
    for (let i = start; i < start + plane; i++) result[i] = table[images[i]];
  }
  return result;
}

/** The 256 normalised values of each channel. */
export function normalizationTables({ mean, std }: ChannelStatistics): Float32Array[] {
  return mean.map((m, c) => Float32Array.from({ length: 256 }, (_, v) => (v / 255 - m) / std[c]));
}

/**
 * Mean and standard deviation per channel of images [count, channels, plane] on the scale 0 … 1. A constant channel gets
 * standard deviation 1, so that normalising it does not divide by zero.
 */
export function channelStatistics(images: Uint8Array, channels: number, plane: number): ChannelStatistics {
  const histograms = Array.from({ length: channels }, () => new Float64Array(256));
  for (let start = 0, c = 0; start < images.length; start += plane, c = (c + 1) % channels) {
    const histogram = histograms[c];
    for (let i = start; i < start + plane; i++) histogram[images[i]]++;
  }
  const mean: number[] = [];
  const std: number[] = [];
  for (const histogram of histograms) {
    const count = histogram.reduce((sum, n) => sum + n, 0);
    let m = 0;
    for (let v = 0; v < 256; v++) m += (histogram[v] * v) / 255;
    m = count === 0 ? 0 : m / count;
    let variance = 0;
    for (let v = 0; v < 256; v++) variance += histogram[v] * (v / 255 - m) ** 2;
    mean.push(m);
    std.push(variance === 0 ? 1 : Math.sqrt(variance / count));
  }
  return { mean, std };
}
