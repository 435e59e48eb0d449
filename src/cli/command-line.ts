import { CommanderError } from 'commander';
import { EXIT, report } from './failure.js';
import { Output } from './output.js';
import { createProgram } from './program.js';

/** Runs one command line (without node and script) and returns its exit status. */
export async function run(
  argv: readonly string[],
  output: Output = new Output(argv.includes('--json')),
): Promise<number> {
  let status: number = EXIT.ok;
  const program = createProgram(output, (result) => {
    status = result;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return report(error, output);
  }
}
