/** Those of `names` that are spelt most alike, best first; none that have little in common. For messages. */
export function nearest(name: string, names: readonly string[], most = 5): string[] {
  const wanted = name.toLowerCase();
  return names
    .map((other) => {
      const found = other.toLowerCase();
      const part = wanted.length > 2 && found.length > 2 && (found.includes(wanted) || wanted.includes(found));
      return { other, distance: part ? 0.5 : editDistance(wanted, found) };
    })
    .filter(({ distance }) => distance <= Math.max(2, wanted.length / 2))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ other }) => other);
}

/** Insertions, deletions and replacements of letters that turn one text into another (Levenshtein, 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
