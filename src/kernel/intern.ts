import { type Expression, isIndirect, printIndex, rewriteExpression } from './expression.js';

/** Makes equal expressions one object, so that they are computed once. */
export class Interner {
  readonly #known = new Map<string, Expression>();
  readonly #numbers = new Map<Expression, number>();

  intern(expression: Expression): Expression {
    return rewriteExpression(expression, (e) => this.add(e));
  }

  /** As `intern`, for an expression whose parts were interned already. */
  add(e: Expression): Expression {
    const key = this.#key(e);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, e);
    this.#numbers.set(e, this.#numbers.size);
    return e;
  }

  #key(e: Expression): string {
    const number = (part: Expression): number | undefined => this.#numbers.get(part);
    switch (e.kind) {
      case 'load': {
        const index = e.index.map((i) => (isIndirect(i) ? `⟨${number(i.value)}⟩<${i.extent}` : printIndex(i)));
        return `load ${e.operand} ${e.dtype} ${index}`;
      }
      case 'constant':
        return `constant ${e.dtype} ${Object.is(e.value, -0) ? '-0' : e.value}`;
      case 'axis':
        return `axis ${printIndex(e.index)}`;
      case 'apply':
        return `${e.fn} ${e.args.map(number)}`;
      case 'cast':
        return `cast ${e.dtype} ${number(e.arg)}`;
      case 'guard': {
        const checks = e.checks.map((c) => `${printIndex(c.index)}<${c.extent}`);
        return `guard ${checks} ${number(e.inside)} ${number(e.otherwise)}`;
      }
      case 'reduced':
        return `reduced ${e.reducer} ${e.part}`;
    }
  }
}
