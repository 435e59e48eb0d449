import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';

/** What the numbers were measured on, as lines for people and as an object. */
export function describeMachine() {
  const [load] = loadavg();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    vectors: cpuFlags().filter((flag) => /^(fma|avx2|avx512f|asimd)$/.test(flag)),
    processors: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.version,
    v8: process.versions.v8,
    load: Number(load.toFixed(2)),
  };
}

export function machineText(m) {
  const vectors = m.vectors.length > 0 ? ` (${m.vectors.join(', ')})` : '';
  return `${m.cpu}${vectors}, ${m.processors} processors, ${m.memoryGiB} GiB, ${m.system}, Node ${m.node}, V8 ${m.v8}; load before the run ${m.load}`;
}

function cpuFlags() {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    return (/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? '').split(' ');
  } catch {
    return [];
  }
}
