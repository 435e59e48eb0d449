import { type DecodedImage, type ImageSplit, normalizeImages } from '../../data/index.js';
import { tensor } from '../../ops/create.js';
import type { Classifier } from '../../train/classifier.js';
import type { Evaluation } from '../../train/evaluate.js';
import type { EpochRecord } from '../../train/events.js';
import { type FeatureMap, type Filters, featureMaps, firstFilters } from '../feature-maps.js';
import { summary } from '../summary.js';
import { colourFilterPicture, divergingPicture, pictureFromPlanes, sequentialPicture } from './picture.js';
import type { ReportData, ReportFilters, ReportImage, ReportMaps } from './report.js';

/** What a report says about a trained run beside what it finds out itself. */
export interface RunFacts {
  readonly model: string;
  readonly data: string;
  /** Date and time, as text. */
  readonly created: string;
  readonly version: string;
  readonly epochs: readonly EpochRecord[];
  /** Which images the validation values of the epochs are from. */
  readonly validatedOn: ReportData['validatedOn'];
  readonly trainingSeconds?: number;
  readonly options: ReportData['options'];
  readonly environment: ReportData['environment'];
}

// Limits that keep the page of a deep network below a few megabytes.
const MOST_FILTERS = 96;
const MOST_MISTAKES = 24;
const MOST_MAPS = 24;
/** Sum over all layers. */
const MOST_MAPS_IN_ALL = 320;
const LARGEST_MAP = 48;
const LARGEST_PICTURE = 96;

/** Gathers what the report shows of a model: runs it on the mistakes and on one sample image of `test`. */
export async function collectReport(
  classifier: Classifier,
  test: ImageSplit,
  evaluation: Evaluation,
  facts: RunFacts,
): Promise<ReportData> {
  const { model, classes, preprocessing } = classifier;
  const { channels, height, width } = preprocessing;
  const size = channels * height * width;
  const wrong = evaluation.mostWrong.slice(0, MOST_MISTAKES);
  const planes = (row: number): Uint8Array => test.images.subarray(row * size, (row + 1) * size);
  const show = async (rows: readonly number[]): Promise<ReportImage[]> => {
    const images = new Uint8Array(rows.length * size);
    rows.forEach((row, i) => {
      images.set(planes(row), i * size);
    });
    const all = rows.length === 0 ? [] : await classifier.probabilities(images);
    return rows.map((row, i) => {
      const probabilities = all[i];
      const predicted = probabilities.indexOf(Math.max(...probabilities));
      return {
        picture: shrink(pictureFromPlanes(planes(row), channels, height, width), LARGEST_PICTURE),
        name: test.names?.[row],
        truth: test.labels[row],
        predicted,
        probability: probabilities[predicted],
        truthProbability: probabilities[test.labels[row]],
      };
    });
  };
  const count = Math.min(16, test.count);
  const candidates = Array.from({ length: count }, (_, i) => Math.floor((i * test.count) / count));
  const shown = await show(candidates);
  const right = shown.findIndex((image) => image.predicted === image.truth);
  const sample = Math.max(0, right);
  const x = tensor(normalizeImages(planes(candidates[sample]), height * width, preprocessing), {
    shape: [1, channels, height, width],
  });
  const maps = await featureMaps(model, x);
  x.dispose();
  const filters = firstFilters(model);
  const hits = evaluation.confusion.reduce((sum, line, c) => sum + line[c], 0);
  return {
    ...facts,
    classes,
    test: { loss: evaluation.loss, accuracy: evaluation.accuracy, count: evaluation.count },
    confusion: evaluation.confusion,
    perClass: evaluation.perClass,
    filters: filters && filterPictures(filters),
    sample: shown[sample],
    maps: mapPictures(maps),
    mistakes: await show(wrong.map((mistake) => mistake.index)),
    mistakeCount: evaluation.count - hits,
    summary: summary(model, [channels, height, width]),
  };
}

function filterPictures({ layer, shape, data }: Filters): ReportFilters | undefined {
  const [out, inputs, height, width] = shape;
  if (shape.length !== 4) return undefined;
  const limit = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const colour = inputs === 3;
  const plane = height * width;
  const step = colour ? 3 * plane : plane;
  const count = Math.min(colour ? out : out * inputs, MOST_FILTERS);
  const paint = colour ? colourFilterPicture : divergingPicture;
  const pictures = Array.from({ length: count }, (_, i) =>
    paint(data.subarray(i * step, (i + 1) * step), height, width, limit),
  );
  return { layer, shape, pictures, limit, colour };
}

function mapPictures(maps: readonly FeatureMap[]): ReportMaps[] {
  const images = maps.filter(({ shape }) => shape.length === 3);
  const most = Math.max(4, Math.min(MOST_MAPS, Math.floor(MOST_MAPS_IN_ALL / Math.max(1, images.length))));
  return images.map(({ layer, shape: [channels, height, width], data }) => ({
    layer,
    channels,
    height,
    width,
    maps: Array.from({ length: Math.min(channels, most) }, (_, channel) => {
      const values = data.subarray(channel * height * width, (channel + 1) * height * width);
      let low = Number.POSITIVE_INFINITY;
      let high = Number.NEGATIVE_INFINITY;
      for (const value of values) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      return {
        channel,
        low,
        high,
        picture: shrink(sequentialPicture(values, height, width, [low, high]), LARGEST_MAP),
      };
    }),
  }));
}

/** At most `most` pixels wide and high: means over whole squares of pixels. */
function shrink(picture: DecodedImage, most: number): DecodedImage {
  const { channels, data } = picture;
  const factor = Math.ceil(Math.max(picture.width, picture.height) / most);
  if (factor <= 1) return picture;
  const width = Math.ceil(picture.width / factor);
  const height = Math.ceil(picture.height / factor);
  const result = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        let count = 0;
        for (let v = y * factor; v < Math.min((y + 1) * factor, picture.height); v++) {
          for (let u = x * factor; u < Math.min((x + 1) * factor, picture.width); u++, count++) {
            sum += data[(v * picture.width + u) * channels + c];
          }
        }
        result[(y * width + x) * channels + c] = Math.round(sum / count);
      }
    }
  }
  return { width, height, channels, data: result };
}
