import { median } from './statistics.mjs';

/** Who takes so many times as long for one run as a block should last… */
const SLOW = 10;
/** … only takes part in so many rounds: those vary less, and others' runs are short. */
const ROUNDS_OF_SLOW = 2;

/** Threads of the one before may still spin: those of onnxruntime-node do so for 32 ms after a run. */
const SETTLE_MS = 50;

/**
 * Times tasks in interleaved blocks, A B C A B C …: whatever slows the machine for a while slows them all.
 *
 * @param entries [{contestant, key, …}], all prepared
 * @returns the entries with `times`, one median in milliseconds per round, and `time`, the median of those
 */
export async function race(entries, { rounds, seconds, minimum = 1 }) {
  const times = entries.map(() => []);
  const fastest = entries.map(() => Number.POSITIVE_INFINITY);
  // Engines compile in tiers while the code runs: one block that does not count.
  const slow = [];
  for (const { contestant, key } of entries) {
    const { minimum: fastestRun } = await contestant.call('time', { key, seconds, minimum });
    slow.push(fastestRun > SLOW * seconds * 1000);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [i, { contestant, key }] of entries.entries()) {
      if (slow[i] && round >= ROUNDS_OF_SLOW) continue;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const block = await contestant.call('time', { key, seconds, minimum });
      times[i].push(block.median);
      fastest[i] = Math.min(fastest[i], block.minimum);
    }
  }
  return entries.map((entry, i) => ({ ...entry, times: times[i], time: median(times[i]), fastest: fastest[i] }));
}
