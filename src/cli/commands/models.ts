import { formatExtents, formatLarge } from '../../inspect/format.js';
import { modelCosts } from '../../inspect/index.js';
import { MODELS } from '../../models/index.js';
import { useDevice } from '../devices.js';
import { EXIT } from '../failure.js';
import type { Output } from '../output.js';
import { table } from '../terminal.js';

/** Lists the built-in networks with what they cost. */
export async function listModels(output: Output): Promise<number> {
  useDevice();
  const cells = Object.values(MODELS).map(({ name, task, description, inputShape, create }) => {
    const { parameters, multiplyAdds } = modelCosts(() => create(), inputShape);
    output.event({ event: 'model', name, task, description, inputShape, parameters, multiplyAdds });
    return [name, formatExtents(inputShape), formatLarge(parameters), formatLarge(multiplyAdds), task, description];
  });
  if (output.json) return EXIT.ok;
  const right = 'right' as const;
  const titles = [
    { title: 'name' },
    { title: 'input' },
    { title: 'params', align: right },
    { title: 'mult-adds', align: right },
    { title: 'for', optional: 1 },
    { title: '', optional: 2, flexible: true },
  ];
  output.terminal.write(table(titles, cells, output.terminal));
  return EXIT.ok;
}
