// Marks the command as executable, as installing the package would: `npx gabor` then works in the checkout, too.
import { chmodSync } from 'node:fs';

chmodSync(new URL('../dist/cli/main.js', import.meta.url), 0o755);
