import type { MixKernel } from '../../kernel/tile.js';
import type { KernelCode } from './kernel-code.js';
import { applyMatrices } from './linear.js';

/** About so many elements for an item. */
const ITEM = 4096;

/** Generates code for constant linear maps along axes, wide over what is contiguous behind them. */
export function mixCode(k: MixKernel, lanes: number): KernelCode {
  const read = k.matrices.reduce((n, matrix) => n * matrix[0].length, 1);
  const written = k.matrices.reduce((n, matrix) => n * matrix.length, 1);
  const vectors = Math.ceil(k.run / lanes);
  const vectorsPerItem = Math.max(1, Math.min(vectors, Math.ceil(ITEM / (lanes * written))));
  const runItems = Math.ceil(vectors / vectorsPerItem);
  const whole = Math.floor(k.run / lanes);
  return {
    items: k.outer * runItems,
    emit(m, begin, end, [source, target]) {
      m.loop({ from: begin, to: end }, (item) => {
        const outer = m.divide(item, runItems);
        const first = m.binary('mul', m.remainder(item, runItems), m.constant('i32', vectorsPerItem));
        const last = m.binary('add', first, m.constant('i32', vectorsPerItem));
        const at = (base: typeof source, extent: number): typeof source =>
          m.binary('add', base, m.binary('mul', outer, m.constant('i32', extent * k.run * 4)));
        const from = at(source, read);
        const to = at(target, written);
        const column = (v: typeof source, count: number): void => {
          const offset = m.binary('mul', v, m.constant('i32', lanes * 4));
          const x = m.binary('add', from, offset);
          const y = m.binary('add', to, offset);
          const values = Array.from({ length: read }, (_, i) => m.load('f32', true, x, i * k.run * 4));
          applyMatrices(m, k.matrices, values).forEach((value, i) => {
            m.store(value, y, i * k.run * 4, count);
          });
        };
        m.loop({ from: first, to: m.binary('min', last, m.constant('i32', whole)) }, (v) => column(v, lanes));
        if (whole < vectors) {
          m.when(m.compare('ge', last, m.constant('i32', vectors)), () =>
            column(m.constant('i32', whole), k.run - whole * lanes),
          );
        }
      });
    },
  };
}
