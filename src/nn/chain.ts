import type { Module } from './module.js';
import type { Same, Signature, signature } from './signature.js';

// Walks along the types of layers that follow each other. One recursion with accumulators, which the compiler runs as a loop
// (TypeScript 4.5, "tail-recursion elimination on conditional types"), so that hundreds of layers are no problem. Numbers are
// compared by intersection: 3 & 4 is never, while `number`, unions and `any` fit whatever they may turn out to be.

/** A layer at the position `At` that does not fit the one before it. */
export interface Misfit<At extends number, Message extends string> {
  readonly at: At;
  readonly message: Message;
}

/** The {@link Signature} of layers one after the other, or the first {@link Misfit}. */
export type Chain<Layers extends readonly unknown[]> = Walk<Layers, number, Same, number, Same, undefined, []>;

/** The parameters of a function of such layers: the layers, but in place of the first that does not fit what is wrong. */
export type Checked<Layers extends readonly unknown[], Result> =
  Result extends Misfit<infer At, infer Message>
    ? { readonly [K in keyof Layers]: K extends `${At}` ? Message : Layers[K] }
    : Layers;

/** The signature of a chain; of one with an error, that of which nothing is known. */
export type ChainSignature<Result> = Result extends Signature ? Result : Signature;

type Walk<
  Layers extends readonly unknown[],
  In extends number,
  Out extends number | Same,
  Rank extends number,
  OutRank extends number | Same,
  Before,
  Done extends readonly unknown[],
> = Layers extends readonly [infer Layer extends Module, ...infer Rest]
  ? Layer[typeof signature] extends infer S extends Signature
    ? [Current<OutRank, Rank> & S['rank']] extends [never]
      ? Misfit<Done['length'], RankMessage<Layer, S['rank'], Before, Current<OutRank, Rank>>>
      : [Current<Out, In> & S['in']] extends [never]
        ? Misfit<Done['length'], ChannelMessage<Layer, S['in'], Before, Current<Out, In>, Current<OutRank, Rank>>>
        : Walk<
            Rest,
            [Out] extends [Same] ? In & S['in'] : In,
            Next<Out, S['out'], S['in']>,
            [OutRank] extends [Same] ? Rank & S['rank'] : Rank,
            Next<OutRank, S['outRank'], S['rank']>,
            Layer,
            [...Done, unknown]
          >
    : never
  : Layers extends readonly []
    ? Signature<In, Out, Rank, OutRank>
    : Signature<In, number | Same, Rank, number | Same>;

/** What comes out so far, where `Start` went in. */
type Current<Given extends number | Same, Start extends number> = [Given] extends [Same] ? Start : Given & number;

/** What comes out after a layer that wants `Wanted` and gives `Out`. What is unknown so far is known by what fits. */
type Next<Given extends number | Same, Out extends number | Same, Wanted extends number> = [Out] extends [Same]
  ? [Given] extends [Same]
    ? Same
    : Given & Wanted
  : Out;

type ChannelMessage<Layer, Wanted extends number, Before, Got extends number, GotRank extends number> =
  Described<Layer> extends `${infer Kind}Linear<${infer Rest}`
    ? `${Kind}Linear<${Rest} expects ${Wanted} features, but ${Described<Before>} before it gives ${Got}${MissingFlatten<GotRank>}`
    : `${Described<Layer>} expects ${Wanted} channels, but ${Described<Before>} before it gives ${Got}`;

/** A linear layer after images, where the numbers do not fit, is most often this. */
type MissingFlatten<GotRank extends number> = [GotRank] extends [1 | 2 | 3]
  ? ` channels of ${RankName<GotRank>}; a Flatten goes in between`
  : '';

type RankMessage<
  Layer,
  Wanted extends number,
  Before,
  Got extends number,
> = `${Described<Layer>} expects ${RankName<Wanted>}, but ${Described<Before>} before it gives ${RankName<Got>}`;

type RankName<Rank extends number> = [Rank] extends [0]
  ? 'features [batch, features]'
  : [Rank] extends [1]
    ? 'sequences [batch, channels, length]'
    : [Rank] extends [0 | 1]
      ? 'features or sequences [batch, channels, length]'
      : [Rank] extends [2]
        ? 'images [batch, channels, height, width]'
        : [Rank] extends [3]
          ? 'volumes [batch, channels, depth, height, width]'
          : `data with ${Rank} spatial axes`;

/** The name of a layer with what is known of its channels. */
type Described<Layer> =
  Layer extends Module<infer S>
    ? string extends Layer['type']
      ? 'the layer'
      : `${Layer['type']}${ChannelText<S['in'], S['out']>}`
    : 'the layer';

type ChannelText<In extends number, Out extends number | Same> = number extends In
  ? ''
  : [Out] extends [number]
    ? [In, Out] extends [Out, In]
      ? `<${In}>`
      : `<${In}, ${Out}>`
    : `<${In}>`;
