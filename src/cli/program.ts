import { Argument, Command, Option } from 'commander';
import { DEVICE_NAMES } from './devices.js';
import {
  AUGMENT_EXAMPLE,
  decimalNumber,
  parseAugment,
  parseChannels,
  parseInput,
  parseNamedInput,
  parseSize,
  wholeNumber,
} from './options.js';
import type { Output } from './output.js';
import { packageVersion } from './version.js';

/** What commands return: the exit status. */
type Finish = (status: number) => void;

/** Some of the networks; help need not load them all. */
const NETWORKS = 'lenet, vgg-small, resnet-small, resnet18 or another of "gabor models"';

const DATA_HELP =
  '"strokes" (built-in handwritten digits), a folder with one folder of PNG or JPEG images per class, or a folder of IDX files (MNIST)';

const MIRRORED_HELP = 'look at mirror images, too, and take the mean: a little better, and twice the time';

const MODEL_HELP =
  'a model file: .safetensors, .onnx, .keras, .h5, model.json of TensorFlow.js, or weights with --model; a path, https://… or hf://owner/name/file';

/** The network of weights that say none. */
function architecture(): Option {
  return new Option('--model <name>', 'the built-in network that a file of weights (.pth, .npz, .safetensors) is of');
}

/** What files from elsewhere do not say about pictures. */
function withPictures(command: Command): Command {
  return command
    .addOption(
      new Option('--preprocessing <name>', 'what the model expects of pixels, where its file does not say it').choices([
        ...['imagenet', 'unit', 'symmetric', 'bytes'],
      ]),
    )
    .addOption(
      new Option('--mean <list>', 'in place of --preprocessing: mean of each channel, on the scale 0 … 1').argParser(
        parseChannels({}),
      ),
    )
    .addOption(
      new Option('--std <list>', 'and deviation of each channel: inputs are (v / 255 - mean) / std').argParser(
        parseChannels({ above: 0 }),
      ),
    );
}

/** {@link withPictures} of commands that use models as they are. */
function withClassifier(command: Command): Command {
  return withPictures(
    command.addOption(
      new Option('--classes <file>', "names of the model's classes, one a line, where its file has none"),
    ),
  )
    .option('--size <size>', 'of pictures, where the model takes any: 224, or height x width', parseSize)
    .addOption(new Option('--fit <way>', 'how pictures of other proportions are brought to size').choices(FITS))
    .addOption(architecture());
}

const FITS = ['crop', 'stretch', 'pad'];

function json(): Option {
  return new Option('--json', 'print one JSON object per line and nothing else');
}

function strict(): Option {
  return new Option('--strict', 'stop at files that are no readable images instead of skipping them');
}

/** On what to compute. */
function device(): Option[] {
  return [
    new Option('--threads <n>', 'threads for computing (default: one per processor)').argParser(wholeNumber(1, 256)),
    new Option(
      '--device <name>',
      'where to compute: "cpu" is the fastest of avx512, avx2 and wasm, "reference" is slow and exact',
    )
      .choices(DEVICE_NAMES)
      .default('cpu'),
  ];
}

/** Of commands that compute with a model. */
function computing(): Option[] {
  return [
    ...device(),
    new Option('--tune', 'take schedules measured on this processor, and measure those that are missing'),
    json(),
  ];
}

/** Of commands that take a built-in network as well as a model file. */
function network(): Option[] {
  return [
    new Option(
      '--input <shape>',
      'of one example: channels x height x width of an image, for example 1x28x28',
    ).argParser(parseInput),
    whole('--classes <n>', 'outputs of a built-in network (default: its own)', 2),
    architecture(),
  ];
}

/** Commands are loaded when they run, so that help and wrong options answer at once. */
export function createProgram(output: Output, finish: Finish): Command {
  const program = new Command('gabor')
    .description('Convolutional networks: train, use and look inside, from the command line.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => output.terminal.write(text),
      writeErr: (text) => output.errors.write(text),
      outputError: (text) => output.error(text.trim().replace(/^error: /, '')),
    })
    .showHelpAfterError(false)
    .exitOverride();

  complete(
    withPictures(
      program
        .command('train')
        .summary('train a network on images')
        .description('Trains a network on labelled images, and writes the model, a log and a report into a run folder.')
        .option('--data <data>', DATA_HELP)
        .option('--model <name>', `${NETWORKS} (default: lenet); with --init, what network weights alone are of`)
        .option(
          '--init <model>',
          'begin with the weights of a model file (.safetensors, .onnx, .keras, …); its last layer is replaced where the classes are others',
        )
        .addOption(
          new Option('--freeze <part>', 'with --init: "features" trains the last layer alone').choices(['features']),
        )
        .option('--out <folder>', 'run folder (default: runs/<data>-<model>-<n>)')
        .option('--resume', 'go on from the checkpoint in the run folder given by --out, with its options')
        .addOption(whole('--epochs <n>', 'passes over the training images', 1))
        .addOption(whole('--batch-size <n>', 'images per step', 1, 65_536))
        .addOption(new Option('--optimizer <name>', 'how weights change').choices(['sgd', 'adam', 'adamw']))
        .addOption(decimal('--lr <rate>', 'learning rate, the highest one where it changes', { above: 0 }))
        .addOption(decimal('--momentum <share>', 'of sgd', { least: 0, below: 1 }))
        .addOption(decimal('--weight-decay <rate>', 'pull of the weights towards zero', { least: 0 }))
        .addOption(
          new Option('--schedule <name>', 'how the learning rate changes').choices(['constant', 'cosine', 'step']),
        )
        .addOption(decimal('--warmup <epochs>', 'epochs over which the learning rate rises at first', { least: 0 }))
        .addOption(
          decimal('--label-smoothing <share>', 'spread so much of the right class over all', { least: 0, below: 1 }),
        )
        .option(
          '--augment [list]',
          `random changes of training images, for example ${AUGMENT_EXAMPLE}; without a list the model's own`,
          augment,
        )
        .option('--no-augment', 'train on the images as they are')
        .addOption(decimal('--mixup <alpha>', 'mix images and their classes, for example 0.2', { least: 0 }))
        .addOption(
          decimal('--cutmix <alpha>', 'paste parts of images into others and mix their classes, for example 1', {
            least: 0,
          }),
        )
        .addOption(
          decimal('--ema <decay>', 'average the weights over the steps, for example 0.999', { least: 0, below: 1 }),
        )
        .addOption(whole('--seed <n>', 'decides everything random (default: 0)', Number.MIN_SAFE_INTEGER))
        .addOption(
          decimal('--val-split <share>', 'share of the training images to validate on', { least: 0, below: 1 }),
        )
        .addOption(
          decimal('--test-split <share>', 'share of the images to test on, for data without a test part', {
            above: 0,
            below: 1,
          }),
        )
        .option('--size <size>', 'bring images to this size: 64, or height x width as in 64x48', parseSize)
        .addOption(new Option('--channels <n>', '1 = grey, 3 = colour').choices(['1', '3']))
        .addOption(new Option('--fit <way>', 'how images of other proportions are brought to size').choices(FITS))
        .addOption(whole('--train-count <n>', 'strokes only: how many images to train on', 10, 10_000_000))
        .addOption(whole('--test-count <n>', 'strokes only: how many images to test on', 1, 10_000_000))
        .addOption(strict())
        .action(async (options) => finish(await (await import('./commands/train.js')).train(options, output))),
    ),
    computing(),
    [
      ['gabor train --data strokes --model lenet', 'the built-in digits, in under a minute'],
      ['gabor train --data photos --model resnet-small --epochs 30 --val-split 0.1', 'a folder of class folders'],
      ['gabor train --data flowers --init squeezenet.onnx --preprocessing imagenet', 'fine-tuning'],
      ['gabor train --resume --out runs/photos-resnet-small-1', 'after Ctrl-C, to the same bits'],
    ],
  );

  complete(
    withClassifier(
      program
        .command('predict')
        .summary('classify images with a model')
        .description('Says what images show: PNG or JPEG files of any size, grey or in colour.')
        .argument('<model>', MODEL_HELP)
        .argument('<image...>', 'PNG or JPEG files')
        .addOption(whole('--top <n>', 'how many classes to list', 1).default(3))
        .option('--mirrored', MIRRORED_HELP)
        .action(async (model, images, options) =>
          finish(await (await import('./commands/predict.js')).predict(model, images, options, output)),
        ),
    ),
    computing(),
    [
      ['gabor predict runs/strokes-lenet-1/model.safetensors seven.png', ''],
      ['gabor predict model.safetensors photos/*.jpg --top 1 --json', 'one JSON object per image'],
      ['gabor predict net.onnx --classes names.txt --preprocessing imagenet cat.jpg', 'a model from elsewhere'],
    ],
  );

  complete(
    withClassifier(
      program
        .command('evaluate')
        .summary('measure a model on labelled images')
        .description('Loss, accuracy, precision and recall of every class, and the confusion matrix.')
        .argument('<model>', MODEL_HELP)
        .requiredOption('--data <data>', DATA_HELP)
        .addOption(
          new Option('--split <part>', 'which images').choices(['train', 'validation', 'test', 'all']).default('test'),
        )
        .addOption(whole('--batch-size <n>', 'images per step; does not change the result', 1, 65_536).default(64))
        .option('--mirrored', MIRRORED_HELP)
        .addOption(whole('--seed <n>', 'of the split into parts; default: as in training', Number.MIN_SAFE_INTEGER))
        .addOption(decimal('--val-split <share>', 'as in training', { least: 0, below: 1 }))
        .addOption(decimal('--test-split <share>', 'as in training', { above: 0, below: 1 }))
        .addOption(whole('--test-count <n>', 'strokes only: how many images', 1, 10_000_000))
        .addOption(strict())
        .action(async (model, options) =>
          finish(await (await import('./commands/evaluate.js')).evaluateModel(model, options, output)),
        ),
    ),
    computing(),
    [
      ['gabor evaluate runs/strokes-lenet-1/model.safetensors --data strokes', ''],
      ['gabor evaluate model.safetensors --data scans --split all', 'every image of a folder of class folders'],
      ['gabor evaluate net.onnx --data cifar --classes names.txt --preprocessing unit', 'a model from elsewhere'],
    ],
  );

  complete(
    program
      .command('run')
      .summary('compute the outputs of any model')
      .description(
        "Runs a model on arrays from files and writes an array of NumPy for every output, NAME.npy. Inputs go to the model's in order, or by name.",
      )
      .argument('<model>', MODEL_HELP)
      .option(
        '--input <file...>',
        'arrays, one for each input: .npy, .npz (by name), or .pb (a tensor of ONNX); FILE or NAME=FILE',
      )
      .requiredOption('--output <folder>', 'where the outputs go')
      .addOption(architecture())
      .action(async (model, options) =>
        finish(await (await import('./commands/run.js')).runModel(model, options, output)),
      ),
    computing(),
    [
      ['gabor run network.onnx --input x.npy --output results', ''],
      ['gabor run network.onnx --input mask=m.npy image=x.npy --output out --json', 'by name'],
    ],
  );

  complete(
    program
      .command('convert')
      .summary('write a model in another format')
      .description(
        "Reads a model of any format and writes it as ONNX (.onnx), in Gabor's own format (.safetensors), or its weights alone (.npz); models of Keras and TensorFlow.js also for these (.keras, model.json).",
      )
      .argument('<in>', MODEL_HELP)
      .argument('<out>', 'the file to write; its ending names the format')
      .addOption(architecture())
      .addOption(
        new Option(
          '--input <shape>',
          'of one example, where the model leaves it open: 3x224x224, or NAME=3x224x224 for each input',
        ).argParser(parseNamedInput),
      )
      .addOption(whole('--opset <n>', 'of ONNX: version of its set of operators (default: 17)', 11, 21))
      .addOption(
        new Option('--dtype <name>', 'of .safetensors: how floats are stored (default: f32)').choices([
          'f32',
          'f16',
          'bf16',
        ]),
      )
      .option('--force', 'replace a file that is there already')
      .action(async (from, to, options) =>
        finish(await (await import('./commands/convert.js')).convertModel(from, to, options, output)),
      ),
    [json()],
    [
      ['gabor convert runs/strokes-lenet-1/model.safetensors digits.onnx', ''],
      ['gabor convert model.h5 model.onnx --opset 18', 'from Keras'],
      ['gabor convert model.h5 web/model.json', 'from Keras to TensorFlow.js'],
      ['gabor convert resnet18.pth resnet18.onnx --model resnet18', 'weights of PyTorch'],
    ],
  );

  complete(
    program
      .command('summary')
      .summary('list the layers of a model with shapes and costs')
      .description(
        'Layers with kernel, shapes, parameters, multiply-adds, memory and receptive field, for one image. <model> is a model file or a name: ' +
          `${NETWORKS}.`,
      )
      .addArgument(new Argument('<model>', `the name of a built-in network, or ${MODEL_HELP}`))
      .addOption(whole('--batch <n>', 'images at once, for the memory of whole programs', 1).default(1))
      .action(async (model, options) =>
        finish(await (await import('./commands/summary.js')).summarise(model, options, output)),
      ),
    [...network(), json()],
    [
      ['gabor summary lenet', ''],
      ['gabor summary resnet-small --input 3x64x64 --classes 100', ''],
      ['gabor summary runs/strokes-lenet-1/model.safetensors', ''],
      ['gabor summary network.onnx --input 3x512x512', 'where the file leaves the size open'],
    ],
  );

  complete(
    program
      .command('tune')
      .summary('measure which schedules are fastest for a model')
      .description(
        'Times schedules of every convolution and matrix product on this processor and keeps the fastest for commands with --tune. ' +
          `<model> is a model file or a name: ${NETWORKS}.`,
      )
      .addArgument(new Argument('<model>', `the name of a built-in network, or ${MODEL_HELP}`))
      .addOption(whole('--batch <n>', 'images at once; every number is measured by itself', 1).default(1))
      .option('--training', 'a training step instead of the output alone')
      .action(async (model, options) =>
        finish(await (await import('./commands/tune.js')).tune(model, options, output)),
      ),
    [...network(), ...device(), json()],
    [
      ['gabor tune resnet18', 'before gabor predict --tune'],
      ['gabor tune lenet --batch 64 --training', 'before gabor train --tune'],
    ],
  );

  complete(
    program
      .command('models')
      .summary('list the built-in networks')
      .description(
        'Names, parameters and multiply-adds of all built-in networks, for an input of the size they are meant for.',
      )
      .action(async () => finish(await (await import('./commands/models.js')).listModels(output))),
    [json()],
    [['gabor models', '']],
  );

  complete(
    program
      .command('doctor')
      .summary('show what this machine can do')
      .description(
        'Node, processor, caches, what programs are compiled to, which targets work here and why others do not.',
      )
      .action(async () => finish(await (await import('./commands/doctor.js')).doctor(output))),
    [json()],
    [['gabor doctor', '']],
  );

  program.addHelpText(
    'after',
    '\nMore about a command: gabor <command> --help\nEnvironment: NO_COLOR (no colours), GABOR_THREADS (threads), GABOR_NATIVE=0 (no machine code: WebAssembly),\nGABOR_CACHE (folder of compiled programs, measured schedules and downloads; 0: none), GABOR_DEBUG=stack (stack traces)',
  );
  return program;
}

function whole(flags: string, help: string, least: number, most?: number): Option {
  return new Option(flags, help).argParser(wholeNumber(least, most));
}

function decimal(flags: string, help: string, range: Parameters<typeof decimalNumber>[0]): Option {
  return new Option(flags, help).argParser(decimalNumber(range));
}

function augment(text: string): ReturnType<typeof parseAugment> {
  return parseAugment(text);
}

/** Adds what commands share and what shows how to use them. */
function complete(
  command: Command,
  options: readonly Option[],
  examples: readonly (readonly [line: string, comment: string])[],
): void {
  for (const option of options) command.addOption(option);
  const lines = examples.map(([line, comment]) => (comment === '' ? `  ${line}` : `  # ${comment}\n  ${line}`));
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}
