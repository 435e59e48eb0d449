// What the type of a layer says about the tensors it takes and gives: [batch, channels, …spatial] or [batch, features].
// Types only: nothing of this exists at run time.

/** In place of a number of channels or of a rank: the one that came in. */
export type Same = 'same';

/**
 * Channels and rank (number of spatial axes; 0 for [batch, features]) before and after a layer. `number` is unknown: it
 * fits everything. The defaults are those of a layer of which nothing is known.
 */
export interface Signature<
  In extends number = number,
  Out extends number | Same = number | Same,
  Rank extends number = number,
  OutRank extends number | Same = number | Same,
> {
  readonly in: In;
  readonly out: Out;
  readonly rank: Rank;
  readonly outRank: OutRank;
}

/** Of layers that give the channels that they are given: any number, as pooling does, or a certain one, as normalisation. */
export interface Keeps<Rank extends number = number, Channels extends number = number>
  extends Signature<Channels, Same, Rank, Same> {}

/** Of layers with weights for so many channels, such as convolution. */
export interface Maps<In extends number, Out extends number, Rank extends number = number>
  extends Signature<In, Out, Rank, Same> {}

/** The key of a layer's signature; no layer has such a property, only its type. */
export declare const signature: unique symbol;
