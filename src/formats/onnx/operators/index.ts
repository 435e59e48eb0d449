import type { OperatorTable } from '../context.js';
import { CONTROL } from './control.js';
import { CONVOLUTION } from './convolution.js';
import { ELEMENTWISE } from './elementwise.js';
import { INDEXING } from './indexing.js';
import { MATRIX } from './matrix.js';
import { NORMALIZATION } from './normalization.js';
import { PADDING } from './padding.js';
import { POOLING } from './pooling.js';
import { QUANTIZED } from './quantized.js';
import { RECURRENT } from './recurrent.js';
import { REDUCTION } from './reduction.js';
import { RESIZING } from './resizing.js';
import { SAMPLING } from './sampling.js';
import { SHAPE } from './shape.js';

/** How every operator of the default domain is traced, by its type. */
export const OPERATORS: OperatorTable = {
  ...CONVOLUTION,
  ...ELEMENTWISE,
  ...MATRIX,
  ...NORMALIZATION,
  ...POOLING,
  ...REDUCTION,
  ...SAMPLING,
  ...SHAPE,
  ...INDEXING,
  ...PADDING,
  ...RESIZING,
  ...QUANTIZED,
  ...RECURRENT,
  ...CONTROL,
};
