import { type Terminal, type TextStream, terminalOf } from './terminal.js';

/** Where a command writes: text for people, or with --json one JSON object a line and nothing else. */
export class Output {
  readonly json: boolean;
  readonly terminal: Terminal;
  readonly errors: Terminal;

  constructor(json: boolean, stdout: TextStream = process.stdout, stderr: TextStream = process.stderr) {
    this.json = json;
    this.terminal = terminalOf(stdout);
    this.errors = terminalOf(stderr);
  }

  /** A line for people; nothing with --json. */
  print(text = ''): void {
    if (!this.json) this.terminal.write(`${text}\n`);
  }

  /** A line for programs; nothing without --json. Numbers that are not finite become null. */
  event(event: object): void {
    if (this.json) this.terminal.write(`${JSON.stringify(event)}\n`);
  }

  /** Something the user should know, on standard error. */
  warn(text: string): void {
    this.errors.write(`${this.errors.colours.yellow('warning:')} ${text}\n`);
  }

  /** What went wrong, on standard error, and with --json also as an event. */
  error(message: string): void {
    this.event({ event: 'error', message });
    this.errors.write(`${this.errors.colours.red('error:')} ${message}\n`);
  }
}
