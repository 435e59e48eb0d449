import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { BatchLoader, type ImageSplit } from '../data/index.js';
import { compile } from '../graph/compile.js';
import { type Device, getDevice, setDevice } from '../graph/device.js';
import { Flatten, Linear, type Module, Sequential } from '../nn/index.js';
import { tensor } from '../ops/create.js';
import { crossEntropy } from '../ops/losses.js';
import { SGD } from '../optim/index.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { bitsOf, bitsOfHost, tinyData, tinyModel, tinySplit } from '../testing/tiny-training.js';
import { evaluate } from './evaluate.js';
import type { TrainEvent } from './events.js';
import { DivergedError, type FitOptions, fit } from './fit.js';
import type { TrainingState } from './state.js';

/** Everything whose state a resume must bring back: momentum, a moving learning rate, augmentation. */
const OPTIONS: FitOptions = {
  epochs: 2,
  batchSize: 6,
  lr: 0.01,
  schedule: { type: 'cosine', warmup: 0.5 },
  augment: { shift: 1, rotate: 5 },
  labelSmoothing: 0.1,
  seed: 5,
  workers: 0,
};

test('learns, and tells of it in order', async () => {
  const model = tinyModel();
  model.submodule('bn').eval();
  const events: TrainEvent[] = [];
  const result = await fit(model, tinyData(48, 12), {
    epochs: 4,
    batchSize: 12,
    lr: 0.02,
    workers: 1,
    onEvent: (event) => events.push(event),
    onCheckpoint: () => undefined,
  });
  const names = events.map(({ event }) => event).filter((event) => event !== 'validating');
  const epoch = ['step', 'step', 'step', 'step', 'epoch', 'checkpoint'];
  assert.deepEqual(names, ['start', ...epoch, ...epoch, ...epoch, ...epoch, 'done']);
  assert.equal(result.history.length, 4);
  const [first, last] = [result.history[0], result.history[3]];
  assert.ok(last.loss < first.loss, JSON.stringify(result.history));
  assert.ok((last.validationAccuracy as number) > 0.9, JSON.stringify(result.history));
  assert.equal(result.step, 16);
  assert.equal(result.aborted, false);
  assert.deepEqual(events[0], {
    event: 'start',
    epochs: 4,
    batchSize: 12,
    batches: 4,
    trainCount: 48,
    validationCount: 12,
    validation: 'test',
    parameters: 40 + 8 + 111,
  });
  assert.deepEqual(JSON.parse(JSON.stringify(events)), events, 'events are plain JSON');
  assert.deepEqual([model.training, model.submodule('bn').training], [true, false], 'modes stay as they were');
  assert.equal(model.stateDict()['bn.num_batches_tracked'].item(), 16, 'but all layers train');
});

test('does what a loop by hand does', async () => {
  const data = tinyData(12);
  const make = (): Module => new Sequential(new Flatten(), new Linear(36, 3, { random: new Random(9) }));
  const fitted = make();
  const options = { lr: 0.1, momentum: 0.9, weightDecay: 0.01 };
  const schedule = { type: 'step', stepSize: 1, gamma: 0.5 } as const;
  await fit(fitted, data, { epochs: 2, batchSize: 4, optimizer: 'sgd', seed: 2, schedule, workers: 0, ...options });

  const byHand = make();
  const optimizer = new SGD(byHand.parameters(), options);
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(byHand.forward(x), y);
    optimizer.step(gradients(loss, byHand.parameters()));
    return loss;
  });
  const loader = new BatchLoader(data.splits.train, data, { batchSize: 4, seed: 2, workers: 0 });
  for (const epoch of [0, 1]) {
    optimizer.setLearningRate(0.1 * 0.5 ** epoch);
    for await (const { x, y, shape } of loader.epoch(epoch)) step.sync(tensor(x, { shape }), tensor(y)).dispose();
  }
  for (const [name, expected] of Object.entries(bitsOf(byHand))) {
    bitsOf(fitted)[name].forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-6, `${name}[${i}]: ${value} and ${expected[i]}`);
    });
  }
});

test('averages of weights are those of a loop by hand, and what evaluation, checkpoints and the model have', async () => {
  const data = tinyData(12, 6);
  const make = (): Module => new Sequential(new Flatten(), new Linear(36, 3, { random: new Random(9) }));
  const ema = 0.4;
  const common = {
    epochs: 2,
    batchSize: 2,
    optimizer: 'sgd',
    lr: 0.1,
    schedule: 'constant',
    seed: 2,
    workers: 0,
  } as const;
  const fitted = make();
  const seen: number[][] = [];
  const { history } = await fit(fitted, data, {
    ...common,
    ema,
    onCheckpoint: (state) => {
      assert.deepEqual(bitsOfHost(state.model), bitsOf(fitted), 'a checkpoint has what the model has');
      seen.push([...state.unaveraged['1.weight'].data]);
    },
  });

  const byHand = make();
  const optimizer = new SGD(byHand.parameters(), { lr: 0.1, momentum: 0.9 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(byHand.forward(x), y);
    optimizer.step(gradients(loss, byHand.parameters()));
    return loss;
  });
  const loader = new BatchLoader(data.splits.train, data, { batchSize: 2, seed: 2, workers: 0 });
  const averages = bitsOf(byHand);
  let t = 0;
  for (const epoch of [0, 1]) {
    for await (const { x, y, shape } of loader.epoch(epoch)) {
      step.sync(tensor(x, { shape }), tensor(y)).dispose();
      t++;
      const keep = Math.min(ema, (1 + t) / (10 + t));
      for (const [name, weights] of Object.entries(bitsOf(byHand))) {
        averages[name] = averages[name].map((average, i) => keep * average + (1 - keep) * weights[i]);
      }
    }
    bitsOf(byHand)['1.weight'].forEach((value, i) => {
      assert.ok(Math.abs(value - seen[epoch][i]) < 1e-6, `weight ${i} of epoch ${epoch}`);
    });
  }
  for (const [name, expected] of Object.entries(averages)) {
    bitsOf(fitted)[name].forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-6, `${name}[${i}]: ${value} and ${expected[i]}`);
    });
  }
  const { loss } = await evaluate(fitted, data.splits.test as ImageSplit, data);
  assert.ok(Math.abs(loss - (history[1].validationLoss as number)) < 1e-6);
  assert.notDeepEqual(bitsOf(fitted), bitsOf(byHand));
});

test('averages leave running statistics in the middle of what they were, counters as they are', async () => {
  const [plain, averaged] = [tinyModel(), tinyModel()];
  const options = { epochs: 2, batchSize: 6, workers: 0 };
  await fit(plain, tinyData(24), options);
  await fit(averaged, tinyData(24), { ...options, ema: 0.9 });
  const [last, mean] = [bitsOf(plain), bitsOf(averaged)];
  assert.deepEqual(mean['bn.num_batches_tracked'], last['bn.num_batches_tracked']);
  const first = bitsOf(tinyModel())['bn.running_var'];
  mean['bn.running_var'].forEach((value, i) => {
    const [low, high] = [first[i], last['bn.running_var'][i]].sort((a, b) => a - b);
    assert.ok(low < value && value < high, `${low} ${value} ${high}`);
  });
});

test('a resume may begin with averages, and may end them', async () => {
  const data = tinyData(24, 6);
  const run = async (first: FitOptions, second: FitOptions): Promise<[Module, Module]> => {
    let state: TrainingState | undefined;
    const model = tinyModel();
    const onCheckpoint = (reached: TrainingState): void => {
      state ??= reached;
    };
    await fit(model, data, { ...OPTIONS, ...first, onCheckpoint });
    const resumed = tinyModel(99);
    await fit(resumed, data, { resume: state, workers: 0, ...second });
    return [model, resumed];
  };
  const [without, ended] = await run({ ema: 0 }, {});
  assert.deepEqual(bitsOf(ended), bitsOf(without));
  const [, stopped] = await run({ ema: 0.9 }, { ema: 0 });
  assert.deepEqual(bitsOf(stopped), bitsOf(without), 'training itself does not see the averages');
  const [, begun] = await run({ ema: 0 }, { ema: 0.9 });
  assert.notDeepEqual(bitsOf(begun), bitsOf(without));
});

test('mixes images and targets as a loop by hand does', async () => {
  const data = tinyData(12, 6);
  const make = (): Module => new Sequential(new Flatten(), new Linear(36, 3, { random: new Random(9) }));
  const fitted = make();
  const mix = { mixup: 0.5, cutmix: 1 };
  const { history } = await fit(fitted, data, {
    ...{ epochs: 2, batchSize: 4, optimizer: 'sgd', momentum: 0, lr: 0.1, schedule: 'constant', seed: 2, workers: 0 },
    ...mix,
  });

  const byHand = make();
  const optimizer = new SGD(byHand.parameters(), { lr: 0.1 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(byHand.forward(x), y);
    optimizer.step(gradients(loss, byHand.parameters()));
    return loss;
  });
  const options = { batchSize: 4, seed: 2, workers: 0, mix: { ...mix, classes: 3 } };
  const loader = new BatchLoader<Float32Array>(data.splits.train, data, options);
  for (const epoch of [0, 1]) {
    let sum = 0;
    for await (const { x, y, shape } of loader.epoch(epoch)) {
      using loss = step.sync(tensor(x, { shape }), tensor(y, { shape: [4, 3] }));
      sum += loss.item();
    }
    assert.ok(Math.abs(history[epoch].loss - sum / 3) < 1e-6);
  }
  for (const [name, expected] of Object.entries(bitsOf(byHand))) {
    bitsOf(fitted)[name].forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-6, `${name}[${i}]: ${value} and ${expected[i]}`);
    });
  }
});

const RESUMED: FitOptions[] = [{}, { ema: 0.9 }, { mixup: 0.5, cutmix: 1 }];
for (const options of RESUMED) {
  const what = JSON.stringify(options);
  test(`goes on from every epoch and every step to the same bits as without a stop ${what}`, () => goesOn(options));
}

async function goesOn(more: FitOptions): Promise<void> {
  const data = tinyData(24, 6);
  const straight = tinyModel();
  const states: TrainingState[] = [];
  const whole = await fit(straight, data, { ...OPTIONS, ...more, onCheckpoint: (state) => void states.push(state) });
  const losses = whole.history.map(({ loss, accuracy, validationLoss }) => [loss, accuracy, validationLoss]);

  const check = async (state: TrainingState, what: string): Promise<void> => {
    const resumed = tinyModel(99); // other weights, to be replaced
    let last: TrainingState | undefined;
    const onCheckpoint = (reached: TrainingState): void => {
      last = reached;
    };
    const rest = await fit(resumed, data, { resume: state, workers: 0, onCheckpoint });
    assert.deepEqual(bitsOf(resumed), bitsOf(straight), what);
    assert.deepEqual(bitsOfHost(last?.optimizer ?? {}), bitsOfHost(states[1].optimizer), what);
    assert.deepEqual(bitsOfHost(last?.unaveraged ?? {}), bitsOfHost(states[1].unaveraged), what);
    assert.deepEqual(
      rest.history.map(({ loss, accuracy, validationLoss }) => [loss, accuracy, validationLoss]),
      losses,
      what,
    );
  };
  await check(states[0], 'after the first epoch');

  for (const stopAfter of [1, 3, 4, 6]) {
    const controller = new AbortController();
    let stopped: TrainingState | undefined;
    const result = await fit(tinyModel(), data, {
      ...OPTIONS,
      ...more,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.event === 'step' && event.step === stopAfter) controller.abort();
      },
      onCheckpoint: (state, reason) => {
        if (reason === 'abort') stopped = state;
      },
    });
    assert.equal(result.aborted, true);
    assert.ok(stopped !== undefined, `no checkpoint after step ${stopAfter}`);
    // The step that was under way when the signal came is finished.
    assert.ok(stopped.progress.step - stopAfter <= 1);
    await check(stopped, `after step ${stopAfter}`);
  }
}

test('frozen parameters stay as they are, the others learn; a resume is told again', async () => {
  const model = tinyModel();
  const before = bitsOf(model);
  let half: TrainingState | undefined;
  const frozen = (name: string): boolean => !name.startsWith('fc.');
  await fit(model, tinyData(), {
    ...OPTIONS,
    frozen,
    onCheckpoint: (state) => {
      half ??= state;
    },
  });
  const parameters = model.namedParameters().map(([name]) => name);
  const after = bitsOf(model);
  for (const name of parameters) assert.equal(`${after[name]}` === `${before[name]}`, frozen(name), name);
  const resumed = tinyModel(9);
  await fit(resumed, tinyData(), { frozen, workers: 0, resume: half as TrainingState });
  assert.deepEqual(bitsOf(resumed), after);
  await assert.rejects(
    fit(resumed, tinyData(), { workers: 0, resume: half as TrainingState }),
    /not one of this model/,
  );
  await assert.rejects(fit(model, tinyData(), { ...OPTIONS, frozen: () => true }), /all parameters are frozen/);
});

test('a signal during validation stops at the end of the epoch, which is not lost', async () => {
  const data = tinyData(12, 6);
  const controller = new AbortController();
  let stopped: TrainingState | undefined;
  const options: FitOptions = { ...OPTIONS, epochs: 1 };
  const { history } = await fit(tinyModel(), data, {
    ...options,
    signal: controller.signal,
    onEvent: (event) => event.event === 'step' && event.batch === event.batches && controller.abort(),
    onCheckpoint: (state) => {
      stopped = state;
    },
  });
  assert.equal(history.length, 0);
  const { epoch, batch } = (stopped as TrainingState).progress;
  assert.deepEqual([epoch, batch], [0, 2]);
  const resumed = await fit(tinyModel(), data, { resume: stopped as TrainingState, workers: 0 });
  const straight = await fit(tinyModel(), data, options);
  assert.equal(resumed.history[0].loss, straight.history[0].loss);
  assert.equal(resumed.history[0].validationLoss, straight.history[0].validationLoss);
});

test('worker threads do not change a bit', async () => {
  const data = tinyData(12, 3);
  const [here, there] = [tinyModel(), tinyModel()];
  await fit(here, data, { ...OPTIONS, epochs: 1, workers: 0 });
  await fit(there, data, { ...OPTIONS, epochs: 1, workers: 2 });
  assert.deepEqual(bitsOf(here), bitsOf(there));
});

test('when the loss is no number any more, training stops with advice and the last good state', async () => {
  const data = tinyData(12, 3);
  const states: TrainingState[] = [];
  const keep = (state: TrainingState): void => void states.push(state);
  await fit(tinyModel(), data, { ...OPTIONS, ema: 0.9, onCheckpoint: keep });
  const model = tinyModel();
  const bad = fit(model, data, { resume: states[0], lr: 1e30, schedule: 'constant', workers: 0, onCheckpoint: keep });
  await assert.rejects(bad, (error: Error) => {
    assert.ok(error instanceof DivergedError, error.stack);
    assert.equal(error.restoredEpoch, 1);
    assert.match(error.message, /diverged in epoch 2, .*lower learning rate \(it was 1e\+30; try 1e\+29\)/);
    return true;
  });
  assert.equal(states.length, 2, 'no checkpoint of the broken state');
  assert.deepEqual(bitsOf(model), { ...bitsOfHost(states[0].model), ...bitsOfHost(states[0].random) });
});

test('the last update of an epoch can break a model, too', async () => {
  const model = tinyModel();
  const before = bitsOf(model);
  const states: TrainingState[] = [];
  // One step only: its loss is fine, the parameters after it are not.
  const broken = fit(model, tinyData(6, 3), {
    ...OPTIONS,
    epochs: 1,
    optimizer: 'sgd',
    lr: 3e38,
    weightDecay: 1e9,
    schedule: 'constant',
    onCheckpoint: (state) => void states.push(state),
  });
  await assert.rejects(broken, /diverged in epoch 1, step 1: .* not finite.*state before training/);
  assert.deepEqual(bitsOf(model), before);
  assert.equal(states.length, 0);
});

test('a last batch that is not full is left out, or trained on as it is', async () => {
  const counts: number[][] = [];
  for (const dropLast of [true, false]) {
    let batches = 0;
    const onEvent = (event: TrainEvent): void => {
      if (event.event === 'start') batches = event.batches;
    };
    let seen = 0;
    const onCheckpoint = ({ history }: TrainingState): void => {
      seen = history[0].step;
    };
    await fit(tinyModel(), tinyData(10, 3), { ...OPTIONS, epochs: 1, batchSize: 4, dropLast, onEvent, onCheckpoint });
    counts.push([batches, seen]);
  }
  assert.deepEqual(counts, [
    [2, 2],
    [3, 3],
  ]);
});

test('validates on the validation part if there is one, and not at all if so asked', async () => {
  const data = tinyData(12, 3);
  const starts: TrainEvent[] = [];
  const onEvent = (event: TrainEvent): void => void (event.event === 'start' && starts.push(event));
  const withPart = { ...data, splits: { ...data.splits, validation: tinySplit(6, 8) } };
  await fit(tinyModel(), withPart, { ...OPTIONS, epochs: 1, onEvent });
  const { history } = await fit(tinyModel(), withPart, { ...OPTIONS, epochs: 1, validate: false, onEvent });
  assert.deepEqual(
    starts.map((event) => event.event === 'start' && [event.validation, event.validationCount]),
    [
      ['validation', 6],
      ['none', 0],
    ],
  );
  assert.ok(!('validationLoss' in history[0]));
});

test('options that make no sense are errors before anything is trained', async () => {
  const data = tinyData(6, 3);
  const cases: [object, RegExp][] = [
    [{ epoch: 3 }, /fit: unknown option "epoch"/],
    [{ epochs: 0 }, /epochs must be a whole number of at least 1, got 0/],
    [{ batchSize: -4 }, /batchSize must be a whole number/],
    [{ lr: -1 }, /lr must be more than 0/],
    [{ lr: Number.NaN }, /lr must be more than 0/],
    [{ optimizer: 'rmsprop' }, /optimizer must be one of sgd, adam, adamw, got rmsprop/],
    [{ optimizer: 'adam', momentum: 0.9 }, /momentum is an option of sgd/],
    [{ optimizer: 'sgd', momentum: 0, nesterov: true }, /nesterov needs a momentum/],
    [{ weightDecay: -1 }, /weightDecay/],
    [{ labelSmoothing: 1.5 }, /labelSmoothing must be at least 0 and at most 1/],
    [{ schedule: 'linear' }, /schedule must be one of constant, cosine, step/],
    [{ schedule: { type: 'cosine', gamma: 1 } }, /unknown option "gamma"/],
    [{ schedule: { type: 'step' } }, /stepSize/],
    [{ seed: 0.5 }, /seed/],
    [{ augment: { turn: 3 } }, /unknown option "turn"/],
    [{ ema: 1 }, /ema must be at least 0 and less than 1, got 1/],
    [{ mixup: -1 }, /mixup must be at least 0/],
    [{ cutmix: 1, loss: 'mse' }, /cutmix makes targets of shares of the classes, which only cross-entropy takes/],
  ];
  const model = tinyModel();
  const before = bitsOf(model);
  for (const [options, message] of cases) {
    await assert.rejects(fit(model, data, options as FitOptions), (error: Error) => {
      assert.ok(error instanceof OptionError, `${JSON.stringify(options)}: ${error.stack}`);
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(fit(model, tinyData(0, 3)), /no training images/);
  assert.deepEqual(bitsOf(model), before);
});

test('a model that does not fit the data is a ShapeError with both sizes', async () => {
  const narrow = new Sequential(new Flatten(), new Linear(36, 2));
  await assert.rejects(fit(narrow, tinyData(6, 3), { workers: 0 }), (error: Error) => {
    assert.ok(error instanceof ShapeError);
    assert.match(error.message, /for 6 images of 3 classes .*\[6, 3\]; it returned \[6, 2\]/);
    return true;
  });
  const wrong = new Sequential(new Flatten(), new Linear(35, 3));
  await assert.rejects(fit(wrong, tinyData(6, 3), { workers: 0 }), /Linear "1": .*36/);
});

test('a checkpoint resumes only what it belongs to', async () => {
  const data = tinyData(12, 3);
  let state: TrainingState | undefined;
  const options = { ...OPTIONS, batchSize: 4 };
  const controller = new AbortController();
  await fit(tinyModel(), data, {
    ...options,
    signal: controller.signal,
    onEvent: (event) => event.event === 'step' && controller.abort(),
    onCheckpoint: (reached) => {
      state = reached;
    },
  });
  const resume = state as TrainingState;
  await assert.rejects(fit(tinyModel(), tinyData(12, 3, 7), { resume }), /as many, but different ones/);
  await assert.rejects(fit(tinyModel(), tinyData(9, 3), { resume }), /12 training images of 3 classes, this is 9/);
  await assert.rejects(fit(tinyModel(), data, { resume, optimizer: 'sgd' }), /another optimizer's state/);
  await assert.rejects(fit(tinyModel(), data, { resume, seed: 6 }), /middle of an epoch/);
  await assert.rejects(
    fit(new Sequential(new Flatten(), new Linear(36, 3)), data, { resume }),
    /not one of this model: .*missing: 1.weight/,
  );
  const done = { ...resume, progress: { ...resume.progress, epoch: 2, batch: 0 } };
  await assert.rejects(fit(tinyModel(), data, { resume: done }), /has completed 2 of 2 epochs/);
  const changed: unknown[] = [];
  await fit(tinyModel(), data, {
    resume,
    lr: 0.001,
    epochs: 3,
    workers: 0,
    onEvent: (event) => event.event === 'start' && changed.push(event.resumed),
  });
  assert.deepEqual(changed, [{ epoch: 0, batch: resume.progress.batch, changed: ['epochs', 'lr'] }]);
});

test('a failing checkpoint ends training with its error', async () => {
  const failing = fit(tinyModel(), tinyData(6, 3), {
    ...OPTIONS,
    onCheckpoint: () => Promise.reject(new Error('the disk is full')),
  });
  await assert.rejects(failing, /the disk is full/);
});

test('the number of tensors does not grow with the number of steps', async () => {
  const before = getDevice();
  const counting = new CountingDevice();
  setDevice(counting);
  try {
    const model = tinyModel();
    const live: number[] = [];
    const at = async (epochs: number): Promise<void> => {
      await fit(model, tinyData(24, 6), { epochs, batchSize: 4, workers: 0, validate: true });
      live.push(counting.live);
    };
    await at(1);
    await at(4);
    assert.equal(live[1], live[0]);
    assert.equal(live[0], [...Object.values(model.stateDict()), ...model.namedRandomStates()].length);
  } finally {
    setDevice(before);
  }
});

/** Counts storages that have been made and not been disposed. */
class CountingDevice implements Device {
  readonly name = 'counting';
  readonly #inner = new ReferenceDevice();
  live = 0;

  allocate(type: Parameters<Device['allocate']>[0]): ReturnType<Device['allocate']> {
    return this.#counted(this.#inner.allocate(type));
  }

  compile(graph: Parameters<Device['compile']>[0]): ReturnType<Device['compile']> {
    const program = this.#inner.compile(graph);
    return {
      run: async (inputs) => (await program.run(inputs)).map((storage) => this.#counted(storage)),
      runSync: (inputs) => program.runSync(inputs).map((storage) => this.#counted(storage)),
      dispose: () => program.dispose(),
    };
  }

  #counted<S extends { dispose(): void }>(storage: S): S {
    this.live++;
    const dispose = storage.dispose.bind(storage);
    storage.dispose = () => {
      this.live--;
      dispose();
    };
    return storage;
  }
}
