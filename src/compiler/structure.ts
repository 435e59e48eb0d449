/**
 * Numbers plain data so that equal data have equal numbers (hash consing), shared parts visited once. What is not plain is equal
 * to itself only.
 */
export class Structures {
  readonly #numbers = new Map<string, number>();
  readonly #known = new Map<object, number>();

  numberOf(value: object): number {
    let number = this.#known.get(value);
    if (number !== undefined) return number;
    const key = this.#keyOf(value);
    number = key === undefined ? undefined : this.#numbers.get(key);
    if (number === undefined) {
      number = this.#known.size;
      if (key !== undefined) this.#numbers.set(key, number);
    }
    this.#known.set(value, number);
    return number;
  }

  #keyOf(value: object): string | undefined {
    if (Array.isArray(value)) {
      let key = '[';
      for (const part of value) key += `${this.#part(part)},`;
      return key;
    }
    if (Object.getPrototypeOf(value) !== Object.prototype) return undefined; // a function, too
    let key = '{';
    for (const name in value) {
      const part = (value as Readonly<Record<string, unknown>>)[name];
      if (part !== undefined) key += `${name}:${this.#part(part)},`;
    }
    return key;
  }

  #part(value: unknown): string {
    // Shapes and strides need no number of their own.
    if (Array.isArray(value) && value.length <= SHORT && value.every(isPlainNumber)) return `[${value.join()}]`;
    if ((typeof value === 'object' && value !== null) || typeof value === 'function') return `#${this.numberOf(value)}`;
    if (isPlainNumber(value)) return `${value}`;
    if (typeof value === 'string') return JSON.stringify(value);
    return Object.is(value, -0) ? '-0' : `${typeof value} ${String(value)}`;
  }
}

/** Arrays of so many numbers are part of the key of what they are in. */
const SHORT = 8;

/** One that its text tells from all others. */
function isPlainNumber(value: unknown): boolean {
  return typeof value === 'number' && !Object.is(value, -0);
}
