export { NEWEST_OPSET } from './check.js';
export { ELEMENT_TYPES, type ElementType } from './element-types.js';
export { exportOnnx, type OnnxExportOptions, type OnnxInput, type OnnxSaveOptions, saveOnnx } from './export/export.js';
export type { OnnxPort } from './graph.js';
export { type LoadOnnxOptions, loadOnnx } from './load.js';
export { OnnxModel } from './onnx-model.js';
export { type HostArray, parseTensor, serializeTensor } from './tensor-proto.js';
