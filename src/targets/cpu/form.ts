import type { Index } from '../../kernel/expression.js';
import type { Register, VectorMachine } from './machine.js';

/** offset + Σ factors[axis] · axis, over the loops of a kernel. Addresses count elements, times `bytes`, from `base`. */
export interface Form {
  readonly factors: number[];
  offset: number;
  /** 1 for plain numbers */
  readonly bytes: number;
  /** Number of the pointer parameter that the form is relative to; undefined for plain numbers. */
  readonly pointer: number | undefined;
}

export function makeForm(axes: number, bytes = 1, pointer?: number): Form {
  return { factors: new Array<number>(axes).fill(0), offset: 0, bytes, pointer };
}

export function addIndex(form: Form, index: Index, factor = 1): void {
  form.offset += index.offset * factor;
  for (const term of index.terms) form.factors[term.axis] += term.factor * factor;
}

/** The current values of forms, grown loop by loop, so that each loop adds only what its axis contributes. */
export class FormValues {
  readonly #machine: VectorMachine;
  readonly #values: ReadonlyMap<Form, Register>;

  constructor(machine: VectorMachine, values: ReadonlyMap<Form, Register>) {
    this.#machine = machine;
    this.#values = values;
  }

  static start(machine: VectorMachine, forms: readonly Form[], pointers: readonly Register[]): FormValues {
    const values = new Map<Form, Register>();
    for (const form of forms) {
      if (form.pointer !== undefined) {
        values.set(form, pointers[form.pointer]);
      } else {
        values.set(form, machine.constant('i32', 0));
      }
    }
    return new FormValues(machine, values);
  }

  /** The values inside a loop over `axis`. */
  enter(axis: number, i: Register): FormValues {
    const m = this.#machine;
    const scaled = new Map<number, Register>();
    const times = (factor: number): Register => {
      let product = scaled.get(factor);
      if (product === undefined) {
        product = factor === 1 ? i : m.binary('mul', i, m.constant('i32', factor));
        scaled.set(factor, product);
      }
      return product;
    };
    const next = new Map<Form, Register>();
    for (const [form, value] of this.#values) {
      const factor = form.factors[axis] * form.bytes;
      next.set(form, factor === 0 ? value : m.binary('add', value, times(factor)));
    }
    return new FormValues(m, next);
  }

  /** Without the constant offset; see {@link Form.offset}. */
  partial(form: Form): Register {
    return this.#values.get(form) as Register;
  }

  /** With the constant offset and `extra` (in units of the form) added. */
  value(form: Form, extra = 0): Register {
    const m = this.#machine;
    const offset = (form.offset + extra) * form.bytes;
    return offset === 0 ? this.partial(form) : m.binary('add', this.partial(form), m.constant('i32', offset));
  }

  /**
   * Address and non-negative constant offset in bytes for a memory access. Machines add the two without wrapping around, so
   * the address alone must not lie before the memory, as it may where an axis runs backwards.
   */
  address(form: Form, extra = 0): [Register, number] {
    const offset = (form.offset + extra) * form.bytes;
    const backwards = form.factors.some((factor) => factor < 0);
    return offset >= 0 && !backwards ? [this.partial(form), offset] : [this.value(form, extra), 0];
  }
}
