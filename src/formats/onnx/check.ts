import { FileError, OptionError } from '../../tensor/errors.js';
import { unknownOperators } from './analysis.js';
import { type OnnxGraph, subgraphs } from './graph.js';
import type { ModelProto } from './messages.js';
import { OPERATORS } from './operators/index.js';

/** The newest version of the default operator set that the rules were compared with. */
export const NEWEST_OPSET = 26;

/** The version of the default operator set that a file uses. @throws FileError where it says none, or one that is not known. */
export function opsetOf(proto: ModelProto, where: string): number {
  const versions = proto.opsetImport.filter(({ domain = '' }) => domain === '' || domain === 'ai.onnx');
  // Versions of the format before 3 know one set of operators only.
  if (versions.length === 0 && (proto.irVersion ?? 0) >= 3)
    throw new FileError(`${where}: does not say which set of operators it uses; cut short?`);
  const version = versions[0]?.version ?? 1;
  if (Number.isInteger(version) && version >= 1 && version <= NEWEST_OPSET) return version;
  throw new FileError(`${where}: operator set ${version}; known are 1 to ${NEWEST_OPSET}`);
}

/** Throws with everything that is not supported, not only the first. */
export function checkOperators(graph: OnnxGraph, opset: number, where: string): void {
  const inner = (g: OnnxGraph): OnnxGraph['nodes'] =>
    g.nodes.flatMap((node) => [
      node,
      ...subgraphs(node).flatMap((proto) =>
        proto.node.map(({ name = '', opType = '', domain = '' }) => ({
          name,
          type: domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`,
          inputs: [],
          outputs: [],
          attributes: new Map(),
        })),
      ),
    ]);
  const unknown = unknownOperators(inner(graph), opset);
  if (unknown.size > 0) {
    const lines = [...unknown].map(([type, names]) => {
      const shown = names.slice(0, 5).map((name) => `"${name}"`);
      return `${type} (${shown.join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''})`;
    });
    throw new OptionError(`${where}: operators that are not supported: ${lines.join('; ')}`);
  }
  for (const node of graph.nodes) {
    const { attributes = [] } = OPERATORS[node.type];
    for (const name of node.attributes.keys()) {
      if (!attributes.includes(name)) {
        throw new OptionError(
          `${where}: ${node.type} "${node.name}" has an attribute "${name}" that is not known; known are ${attributes.join(', ') || 'none'}`,
        );
      }
    }
  }
}
