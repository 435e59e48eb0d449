import { type NumberList, type Schema, schema } from './proto.js';

// The messages of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), as far as networks for use need them.

export interface ModelProto {
  readonly irVersion?: number;
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly domain?: string;
  readonly modelVersion?: number;
  readonly docString?: string;
  readonly graph?: GraphProto;
  readonly opsetImport: readonly OperatorSetId[];
  readonly metadataProps: readonly StringEntry[];
  readonly functions: readonly FunctionProto[];
}

export interface OperatorSetId {
  readonly domain?: string;
  readonly version?: number;
}

export interface StringEntry {
  readonly key?: string;
  readonly value?: string;
}

export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name?: string;
  readonly initializer: readonly TensorProto[];
  readonly sparseInitializer: readonly SparseTensorProto[];
  readonly docString?: string;
  readonly input: readonly ValueInfo[];
  readonly output: readonly ValueInfo[];
  readonly valueInfo: readonly ValueInfo[];
}

export interface NodeProto {
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name?: string;
  readonly opType?: string;
  readonly attribute: readonly AttributeProto[];
  readonly docString?: string;
  readonly domain?: string;
}

export interface FunctionProto {
  readonly name?: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly node: readonly NodeProto[];
  readonly domain?: string;
  readonly opsetImport: readonly OperatorSetId[];
  /** Attributes with defaults. */
  readonly attributeProto: readonly AttributeProto[];
}

export interface AttributeProto {
  readonly name?: string;
  readonly f?: number;
  readonly i?: number;
  readonly s?: Uint8Array;
  readonly t?: TensorProto;
  readonly g?: GraphProto;
  readonly floats: NumberList;
  readonly ints: NumberList;
  readonly strings: readonly Uint8Array[];
  /** See {@link ATTRIBUTE_TYPES}. */
  readonly type?: number;
  readonly refAttrName?: string;
}

export interface ValueInfo {
  readonly name?: string;
  readonly type?: TypeProto;
}

export interface TypeProto {
  readonly tensorType?: { readonly elemType?: number; readonly shape?: TensorShape };
  readonly denotation?: string;
}

export interface TensorShape {
  readonly dim: readonly { readonly dimValue?: number; readonly dimParam?: string }[];
}

export interface TensorProto {
  readonly dims: NumberList;
  readonly dataType?: number;
  readonly floatData: NumberList;
  readonly int32Data: NumberList;
  readonly stringData: readonly Uint8Array[];
  readonly int64Data: NumberList;
  readonly name?: string;
  readonly rawData?: Uint8Array;
  readonly doubleData: NumberList;
  readonly uint64Data: NumberList;
  readonly externalData: readonly StringEntry[];
  /** 1: in the file that `externalData` names */
  readonly dataLocation?: number;
}

export interface SparseTensorProto {
  readonly values?: TensorProto;
  readonly indices?: TensorProto;
  readonly dims: NumberList;
}

/** Values of `AttributeProto.type`. */
export const ATTRIBUTE_TYPES = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

const STRING_ENTRY: Schema = schema('StringStringEntryProto', { key: [1, 'string'], value: [2, 'string'] });

export const TENSOR: Schema = schema('TensorProto', {
  dims: [1, 'int64', 'repeated'],
  dataType: [2, 'int32'],
  floatData: [4, 'float', 'repeated'],
  int32Data: [5, 'int32', 'repeated'],
  stringData: [6, 'bytes', 'repeated'],
  int64Data: [7, 'int64', 'repeated'],
  name: [8, 'string'],
  rawData: [9, 'bytes'],
  doubleData: [10, 'double', 'repeated'],
  uint64Data: [11, 'uint64', 'repeated'],
  externalData: [13, () => STRING_ENTRY, 'repeated'],
  dataLocation: [14, 'int32'],
});

const SPARSE_TENSOR: Schema = schema('SparseTensorProto', {
  values: [1, () => TENSOR],
  indices: [2, () => TENSOR],
  dims: [3, 'int64', 'repeated'],
});

const ATTRIBUTE: Schema = schema('AttributeProto', {
  name: [1, 'string'],
  f: [2, 'float'],
  i: [3, 'int64'],
  s: [4, 'bytes'],
  t: [5, () => TENSOR],
  g: [6, () => GRAPH],
  floats: [7, 'float', 'repeated'],
  ints: [8, 'int64', 'repeated'],
  strings: [9, 'bytes', 'repeated'],
  type: [20, 'int32'],
  refAttrName: [21, 'string'],
});

const NODE: Schema = schema('NodeProto', {
  input: [1, 'string', 'repeated'],
  output: [2, 'string', 'repeated'],
  name: [3, 'string'],
  opType: [4, 'string'],
  attribute: [5, () => ATTRIBUTE, 'repeated'],
  docString: [6, 'string'],
  domain: [7, 'string'],
});

const DIMENSION: Schema = schema('Dimension', { dimValue: [1, 'int64'], dimParam: [2, 'string'] });
const SHAPE: Schema = schema('TensorShapeProto', { dim: [1, () => DIMENSION, 'repeated'] });
const TENSOR_TYPE: Schema = schema('TypeProto.Tensor', { elemType: [1, 'int32'], shape: [2, () => SHAPE] });
const TYPE: Schema = schema('TypeProto', { tensorType: [1, () => TENSOR_TYPE], denotation: [6, 'string'] });
const VALUE_INFO: Schema = schema('ValueInfoProto', { name: [1, 'string'], type: [2, () => TYPE] });

export const GRAPH: Schema = schema('GraphProto', {
  node: [1, () => NODE, 'repeated'],
  name: [2, 'string'],
  initializer: [5, () => TENSOR, 'repeated'],
  docString: [10, 'string'],
  input: [11, () => VALUE_INFO, 'repeated'],
  output: [12, () => VALUE_INFO, 'repeated'],
  valueInfo: [13, () => VALUE_INFO, 'repeated'],
  sparseInitializer: [15, () => SPARSE_TENSOR, 'repeated'],
});

const OPERATOR_SET_ID: Schema = schema('OperatorSetIdProto', { domain: [1, 'string'], version: [2, 'int64'] });

const FUNCTION: Schema = schema('FunctionProto', {
  name: [1, 'string'],
  input: [4, 'string', 'repeated'],
  output: [5, 'string', 'repeated'],
  attribute: [6, 'string', 'repeated'],
  node: [7, () => NODE, 'repeated'],
  opsetImport: [9, () => OPERATOR_SET_ID, 'repeated'],
  domain: [10, 'string'],
  attributeProto: [11, () => ATTRIBUTE, 'repeated'],
});

export const MODEL: Schema = schema('ModelProto', {
  irVersion: [1, 'int64'],
  producerName: [2, 'string'],
  producerVersion: [3, 'string'],
  domain: [4, 'string'],
  modelVersion: [5, 'int64'],
  docString: [6, 'string'],
  graph: [7, () => GRAPH],
  opsetImport: [8, () => OPERATOR_SET_ID, 'repeated'],
  metadataProps: [14, () => STRING_ENTRY, 'repeated'],
  functions: [25, () => FUNCTION, 'repeated'],
});
