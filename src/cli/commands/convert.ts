import { convert } from '../../exchange/convert.js';
import type { FloatStorage } from '../../formats/elements.js';
import { formatBytes, formatCount } from '../../inspect/format.js';
import type { Shape } from '../../tensor/shape.js';
import { useDevice } from '../devices.js';
import { EXIT, UsageError } from '../failure.js';
import { openModel } from '../open-model.js';
import type { InputShape } from '../options.js';
import type { Output } from '../output.js';
import { printable } from '../terminal.js';

export interface ConvertFlags {
  readonly model?: string;
  readonly input?: readonly InputShape[];
  readonly opset?: number;
  readonly dtype?: FloatStorage;
  readonly force?: boolean;
}

/** Writes a model in another format and says what of it the file cannot hold. */
export async function convertModel(from: string, to: string, flags: ConvertFlags, output: Output): Promise<number> {
  useDevice();
  const { model, input: shapes = [], opset, dtype, force } = flags;
  const input = inputShapes(shapes);
  const loaded = await openModel(
    from,
    { ...(model === undefined ? {} : { model }), ...onlyShape(model, input) },
    output,
  );
  const { format, parameters, bytes, lost } = await convert(loaded, to, {
    ...(input === undefined ? {} : { input }),
    ...(opset === undefined ? {} : { opset }),
    ...(dtype === undefined ? {} : { floats: dtype }),
    overwrite: force ?? false,
  });
  output.event({ event: 'converted', from, to, source: loaded.format, format, parameters, bytes, lost });
  const { colours } = output.terminal;
  output.print(
    `${colours.bold(printable(to))}: ${format}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}; from ${printable(from)} (${loaded.format})`,
  );
  for (const sentence of lost) output.print(`${colours.yellow('not carried over:')} ${sentence}`);
  return EXIT.ok;
}

/** `--input 3x224x224` of the only input, or `--input NAME=…` of each. */
function inputShapes(list: readonly InputShape[]): Readonly<Record<string, Shape>> | Shape | undefined {
  const [first, ...more] = list;
  if (first === undefined) return undefined;
  if (first.name === undefined && more.length === 0) return first.shape;
  const unnamed = list.find(({ name }) => name === undefined);
  if (unnamed !== undefined) throw new UsageError('several --input need names: --input NAME=3x224x224');
  return Object.fromEntries(list.map(({ name, shape }) => [name as string, shape]));
}

/** Of a built-in network the shape decides how it is made, too. */
function onlyShape(model: string | undefined, input: unknown): { input?: Shape } {
  return model !== undefined && Array.isArray(input) ? { input: input as Shape } : {};
}
