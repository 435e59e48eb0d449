// Everything that the package exports, with the members of every class.
import * as gabor from 'gabor';

type Api = typeof gabor;

type Members = {
  readonly [K in keyof Api]: Api[K] extends abstract new (...args: never) => infer Instance ? keyof Instance : K;
}[keyof Api];

export const api: Api = gabor;
export const member: Members = 'forward';
