#!/usr/bin/env node
import { reasonOf } from '../formats/folders.js';
import { run } from './command-line.js';

// A reader that has seen enough (`gabor … | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`error: cannot write the output: ${reasonOf(error)}\n`);
  process.exit(1);
});

// Without `await`, which a script has only inside of functions.
run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
