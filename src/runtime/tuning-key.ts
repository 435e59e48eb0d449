import type { Backend } from './backend.js';
import { architecture, codeVersion, engineVersion, processorName } from './host.js';
import { nativeLibrary } from './native/library.js';
import { detectProcessor } from './native/processor.js';
import type { TuningKey } from './tuning-cache.js';

/** Which measurements hold for programs of a backend on this machine. */
export function tuningKey({ name, machine }: Backend, options: { readonly relaxedSimd?: boolean } = {}): TuningKey {
  const { lanes, widths = [lanes], tile, caches } = machine;
  const sizes = `lanes ${widths.join('/')}, tile ${tile.rows}×${tile.vectors}, caches ${caches.l1}/${caches.l2}`;
  const engine =
    name === 'wasm' ? ` of V8 ${engineVersion()}${options.relaxedSimd === false ? ', not relaxed' : ''}` : '';
  return { code: codeVersion(), processor: processorIdentity(), instructions: `${name}${engine}; ${sizes}` };
}

/** What the processor says of itself, and where it cannot be asked, its name. */
export function processorIdentity(): string {
  const library = nativeLibrary();
  if (typeof library === 'string') return `${architecture()} ${processorName()}`;
  const { vendor, signature } = detectProcessor(library);
  return `${architecture()} ${vendor} ${signature.toString(16)}`;
}
