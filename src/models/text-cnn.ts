import { Conv1d, Dropout, Embedding, GlobalMaxPool1d, Linear, Parallel, Sequential } from '../nn/index.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';
import { initialized } from './blocks/initialize.js';
import { checkWhole } from './options.js';

/** Options of {@link textCnn}. */
export interface TextCnnOptions {
  /** Size of the vocabulary. Default 20,000. */
  readonly words?: number;
  /** Default 2. */
  readonly classes?: number;
  /** Numbers for each word. Default 300. */
  readonly embeddingDim?: number;
  /** Words that filters look at, one size of filter each. Default [3, 4, 5]. */
  readonly windows?: readonly number[];
  /** Filters of each size. Default 100. */
  readonly filters?: number;
  /** Before the last layer. Default 0.5. */
  readonly dropout?: number;
  /** This word's numbers are zeros and are not trained. Default none. */
  readonly paddingIdx?: number;
  readonly random?: Random;
}

/**
 * The network of Kim, "Convolutional neural networks for sentence classification", EMNLP 2014 (CNN-rand): filters over some words each,
 * of which the largest answer counts. Keys: `embedding`, `convs.0.0` …, `fc`.
 *
 * Numbers of words, i32 [n, length] → [n, classes]; sentences at least as long as the largest window.
 */
export function textCnn(options: TextCnnOptions = {}): Sequential {
  checkOptions('textCnn', options, [
    'words',
    'classes',
    'embeddingDim',
    'windows',
    'filters',
    'dropout',
    'paddingIdx',
    'random',
  ]);
  const { words = 20_000, classes = 2, embeddingDim = 300, windows = [3, 4, 5], filters = 100 } = options;
  const { dropout = 0.5, paddingIdx } = options;
  for (const [name, value] of Object.entries({ words, embeddingDim, filters })) checkWhole('textCnn', name, value);
  checkWhole('textCnn', 'classes', classes, 2);
  if (!Array.isArray(windows) || windows.length === 0) {
    throw new OptionError(`textCnn: windows must be a list of numbers of words, got ${JSON.stringify(windows)}`);
  }
  for (const window of windows) checkWhole('textCnn', 'windows', window);
  const random = options.random === undefined ? {} : { random: options.random };
  const model = initialized(random, {}, () => {
    const branches = windows.map(
      (window) =>
        new Sequential(
          new Conv1d(embeddingDim, filters, window, { dataFormat: 'channels-last', activation: 'relu' }),
          new GlobalMaxPool1d({ dataFormat: 'channels-last' }),
        ),
    );
    return new Sequential({
      embedding: new Embedding(words, embeddingDim, { ...(paddingIdx === undefined ? {} : { paddingIdx }) }),
      convs: new Parallel(branches),
      dropout: new Dropout(dropout, random),
      fc: new Linear(filters * windows.length, classes),
    });
  });
  return model;
}
