/** The middle of a list of numbers; the mean of the two middle ones where there is no middle. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * How many times as fast `a` is as `b`: the median over rounds of the ratio within a round, where both ran one right after
 * the other. A machine that slows down for a while slows both.
 *
 * @param a, b one time per round, in the same unit; slow ones may have fewer rounds
 */
export function speedRatio(a, b) {
  return median(a.slice(0, b.length).map((time, round) => b[round] / time));
}

export function geometricMean(numbers) {
  return Math.exp(numbers.reduce((sum, x) => sum + Math.log(x), 0) / numbers.length);
}
