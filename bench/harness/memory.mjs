import { readFileSync } from 'node:fs';

/** The largest resident set of this process so far, in bytes. */
export function peakMemory() {
  try {
    // Not `resourceUsage`: on Linux that begins with the size of the process that started this one.
    const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return kibibytes * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}
