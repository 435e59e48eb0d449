// Removes the last build, so that tests of deleted sources do not run on.
import { rmSync } from 'node:fs';

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true });
