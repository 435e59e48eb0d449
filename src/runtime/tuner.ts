import { candidates, describeSchedules, problemKey } from '../compiler/choices.js';
import { compileGraph, type Plan } from '../compiler/compile.js';
import type { MachineDescription, Place, ScheduleChoice } from '../compiler/machine.js';
import type { Device, Executable } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import {
  type Contraction,
  contractionShape,
  type Geometry,
  multiplyAdds,
  ROLE_OPERANDS,
  type Role,
} from '../kernel/contraction.js';
import { contract } from '../ops/convolution.js';
import { Random } from '../tensor/random.js';
import { sizeOf } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { warn } from './host.js';
import type { Measurement, TuningCache } from './tuning-cache.js';

/** What the tuner needs of the device that it measures on. */
export interface Workbench {
  readonly machine: MachineDescription;
  allocate: Device['allocate'];
  load(plan: Plan): Executable;
  /** Makes programs take what they prepared of this for stale. */
  touch(storage: Storage): void;
}

/** How a contraction is scheduled on a tuned device. */
export interface TunedContraction extends Measurement {
  /** The layer it came from. */
  readonly scope: string;
  readonly role: Role;
  readonly geometry: Geometry;
}

/** Smaller contractions take microseconds: the model decides. */
const LEAST_WORK = 50_000;
/** A choice that is less than so much faster than the model's is not taken: it may be noise. */
const GAIN = 0.03;
/** Milliseconds of one block of runs, and how many blocks every candidate gets. */
const BLOCK = 2;
const ROUNDS = 5;
/** Candidates that are so much slower than the best after the first block are given up. */
const HOPELESS = 1.5;
/** Largest difference between two schedules, relative to the largest result. */
const TOLERANCE = 1e-3;

interface Contender {
  readonly name: string | null;
  readonly text: string;
  readonly executable: Executable;
  runs: number;
  best: number;
}

/** Finds the fastest schedule of every contraction by measuring, once; later in the cache. */
export class Tuner {
  readonly #bench: Workbench;
  readonly #cache: TuningCache;

  constructor(bench: Workbench, cache: TuningCache) {
    this.#bench = bench;
    this.#cache = cache;
  }

  /** The machine with the choices of this tuner. */
  get machine(): MachineDescription {
    return { ...this.#bench.machine, choices: (contraction, place) => this.choose(contraction, place) };
  }

  /** Identifies what was measured until now. */
  get measurements(): string {
    return this.#cache.text;
  }

  choose(contraction: Contraction, place: Place): ScheduleChoice | undefined {
    const choice = this.measured(contraction, place)?.choice ?? null;
    return choice === null ? undefined : candidates(contraction, this.#bench.machine).get(choice);
  }

  /** Undefined where there is nothing to choose or to gain. */
  measured(contraction: Contraction, place: Place): Measurement | undefined {
    if (multiplyAdds(contraction.geometry) < LEAST_WORK) return undefined;
    const { machine } = this.#bench;
    const names = candidates(contraction, machine);
    if (names.size === 0) return undefined;
    const key = this.#key(contraction, place);
    const known = this.#cache.get(key);
    // An unknown name in an old or edited file: measured again.
    if (known !== undefined && (known.choice === null || names.has(known.choice))) return known;
    const found = this.#measure(contraction, place, names);
    this.#cache.set(key, found);
    return found;
  }

  /** How every dense contraction of a graph is scheduled, in the order of the program. */
  tune(graph: Graph): TunedContraction[] {
    const found: TunedContraction[] = [];
    const choices = (contraction: Contraction, place: Place): ScheduleChoice | undefined => {
      const measured = this.measured(contraction, place);
      if (measured !== undefined)
        found.push({ scope: place.scope, role: contraction.role, geometry: contraction.geometry, ...measured });
      return this.choose(contraction, place);
    };
    compileGraph(graph, { ...this.#bench.machine, choices });
    return found;
  }

  /** What may be chosen depends on what the device allows. */
  #key(contraction: Contraction, { learning }: Place): string {
    const { winograd = true } = this.#bench.machine;
    return `${problemKey(contraction)}${learning ? ' learning' : ''}${winograd === true ? '' : ` winograd=${winograd}`}`;
  }

  #measure(contraction: Contraction, { learning }: Place, choices: ReadonlyMap<string, ScheduleChoice>): Measurement {
    const { machine } = this.#bench;
    const { role, geometry } = contraction;
    const [first, second, result] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
    const { graph } = trace((into) => {
      const [a, b] = [first, second].map((shape) => Tensor.fromTraced(into.addInput({ dtype: 'f32', shape })));
      return [contract(role, a, b, geometry)];
    });
    const inputs = [first, second].map((shape, seed) => this.#random(shape, seed));
    // Of those whose filter changes, transforming it is timed too.
    const filter = learning ? inputs[ROLE_OPERANDS[role].indexOf('W')] : undefined;
    const run = ({ executable }: Contender): Storage[] => {
      if (filter !== undefined) this.#bench.touch(filter);
      return executable.runSync(inputs);
    };
    const contenders: Contender[] = [];
    const seen = new Set<string>();
    const enter = (name: string | null, choice: ScheduleChoice | undefined): Contender | undefined => {
      const plan = compileGraph(graph, { ...machine, choices: choice && (() => choice) });
      const kernels = plan.program.steps.map(({ kernel }) => kernel);
      // Different names may stand for the same schedule, for example on small images.
      const identity = JSON.stringify(kernels.filter(({ kind }) => kind === 'tile' || kind === 'outer'));
      if (seen.has(identity)) return undefined;
      seen.add(identity);
      const text = describeSchedules(plan.program, machine).join(', ');
      const executable = this.#bench.load(plan);
      const contender = { name, text, executable, runs: 1, best: Number.POSITIVE_INFINITY };
      contenders.push(contender);
      return contender;
    };
    try {
      const model = enter(null, undefined) as Contender;
      const expected = read(run(model));
      const right: Contender[] = [model];
      for (const [name, choice] of choices) {
        const contender = enter(name, choice);
        if (contender === undefined) continue;
        if (sizeOf(result) === expected.length && close(read(run(contender)), expected)) right.push(contender);
        else warn(`tuning: "${name}" is wrong for ${problemKey(contraction)} and is left out; please report it`);
      }
      const [best] = race(right, run).sort((a, b) => a.best - b.best);
      const worth = (): boolean => best !== model && best.best <= (1 - GAIN) * model.best;
      if (worth()) {
        // The fastest of many was also lucky: once more, both from the start.
        for (const contender of [model, best]) contender.best = Number.POSITIVE_INFINITY;
        race([model, best], run, 2 * ROUNDS);
      }
      const winner = worth() ? best : model;
      return {
        choice: winner.name,
        model: model.text,
        best: winner.text,
        modelMilliseconds: model.best,
        milliseconds: winner.best,
      };
    } finally {
      for (const { executable } of contenders) executable.dispose();
      for (const input of inputs) input.dispose();
    }
  }

  /** Numbers from −½ to ½, repeated with a period that no extent shares. */
  #random(shape: readonly number[], seed: number): Storage {
    const random = new Random(seed);
    const pattern = Float32Array.from({ length: 8191 }, () => random.uniform(-0.5, 0.5));
    const storage = this.#bench.allocate({ dtype: 'f32', shape });
    storage.write(Float32Array.from({ length: sizeOf(shape) }, (_, i) => pattern[i % pattern.length]));
    return storage;
  }
}

function read([output]: readonly Storage[]): Float32Array {
  const values = output.read() as Float32Array;
  output.dispose();
  return values;
}

function close(values: Float32Array, expected: Float32Array): boolean {
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    difference = Math.max(difference, Math.abs(values[i] - expected[i]));
  }
  // Also false where something is not a number.
  return difference <= TOLERANCE * largest;
}

/** Times blocks of runs in turn, so that what else the machine does hits all alike; the fastest block of each counts. */
function race(
  contenders: readonly Contender[],
  run: (contender: Contender) => readonly Storage[],
  rounds: number = ROUNDS,
): Contender[] {
  const block = (contender: Contender): number => {
    const start = performance.now();
    for (let i = 0; i < contender.runs; i++) for (const output of run(contender)) output.dispose();
    return (performance.now() - start) / contender.runs;
  };
  let left = [...contenders];
  for (const contender of left) {
    contender.runs = 1;
    contender.runs = Math.max(1, Math.min(100, Math.round(BLOCK / block(contender))));
  }
  for (let round = 0; round < rounds; round++) {
    for (const contender of left) {
      contender.best = Math.min(contender.best, block(contender));
    }
    const limit = HOPELESS * Math.min(...left.map(({ best }) => best));
    left = left.filter(({ name, best }) => name === null || best <= limit);
  }
  return left;
}
