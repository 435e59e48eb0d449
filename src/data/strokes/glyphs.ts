import type { Random } from '../../tensor/random.js';
import { arc, at, type Point, type Stroke, turn } from './curve.js';

/**
 * The ten digits as pen paths, each with the forms that people give it. Every number that differs between hands is
 * drawn anew for each glyph; what is common to a hand (slant, proportions, pen) is in `writer.ts`.
 */
export type Glyph = (random: Random) => Stroke[];

function chance(random: Random, probability: number): boolean {
  return random.uniform() < probability;
}

/** A loop that starts near the top and closes with a gap or an overlap, or runs on into a flourish. */
const zero: Glyph = (random) => {
  const rx = random.uniform(0.31, 0.58);
  const from = -90 + random.normal(12, 28);
  const sweep = (chance(random, 0.88) ? -1 : 1) * (368 + random.normal(0, 18));
  const drift = random.normal(0.02, 0.08);
  const loop = arc(0.5, 0.5, rx, 0.5, from, from + sweep, drift);
  const end = loop[loop.length - 1];
  const tail = random.uniform();
  if (tail < 0.06) loop.push(at(end.x + random.uniform(0.08, 0.2), end.y - random.uniform(0, 0.1)));
  else if (tail < 0.1) loop.push(at(end.x - 0.05, end.y + 0.1), at(end.x + 0.02, end.y + random.uniform(0.15, 0.25)));
  else if (tail < 0.14) loop.unshift(at(loop[0].x + 0.1, loop[0].y - random.uniform(0.02, 0.1)));
  return [loop];
};

/** A bare stroke, a stroke with a flag, and either with a base. */
const one: Glyph = (random) => {
  const lean = random.normal(0.1, 0.17);
  const bow = random.normal(0, 0.035);
  const top = at(0.5 + lean / 2, 0);
  const bottom = at(0.5 - lean / 2, 1);
  const middle = at(0.5 + bow, random.uniform(0.4, 0.6));
  const stem: Stroke = [top, middle, bottom];
  const form = random.uniform();
  if (form >= 0.8) {
    const length = random.uniform(0.08, form > 0.92 ? 0.36 : 0.24);
    stem[0] = turn(top.x, 0);
    stem.unshift(at(top.x - length, length * random.uniform(0.6, 1.4)));
  } else if (form > 0.73) {
    // A hook in place of a flag, or a small foot.
    if (chance(random, 0.5)) stem.unshift(at(top.x - 0.06, 0.05));
    else stem.push(at(bottom.x + random.uniform(0.05, 0.12), 0.98));
  }
  if (form > 0.92) {
    const y = 1 + random.normal(0, 0.015);
    const tilt = random.normal(0, 0.03);
    return [
      stem,
      [
        at(bottom.x - random.uniform(0.15, 0.32), y - tilt),
        at(bottom.x, y),
        at(bottom.x + random.uniform(0.15, 0.32), y + tilt),
      ],
    ];
  }
  return [stem];
};

const two: Glyph = (random) => {
  const right = random.uniform(0.72, 0.95);
  const shoulder = random.uniform(0.2, 0.33);
  const startX = random.uniform(0.02, 0.22);
  const startY = random.uniform(0.12, 0.34);
  const path: Stroke = [];
  if (chance(random, 0.12)) path.push(at(startX + random.uniform(0.06, 0.14), startY + random.uniform(0.05, 0.1)));
  if (chance(random, 0.07)) {
    // Like a Z: no arc, and a sharp or narrow turn at the upper right.
    const y = random.uniform(0, 0.1);
    path.push(at(startX, y + random.normal(0.03, 0.03)), at((startX + right) / 2, y - 0.01));
    path.push(chance(random, 0.5) ? turn(right, y + 0.02) : at(right, y + 0.06));
  } else {
    path.push(
      at(startX, startY),
      at(startX + random.uniform(0.08, 0.16), startY * random.uniform(0.25, 0.5)),
      at((startX + right) / 2 + random.normal(0, 0.04), 0),
      at(right, shoulder),
    );
  }
  const footX = random.uniform(0.02, 0.16);
  const footY = random.uniform(0.86, 0.97);
  const belly = random.uniform(0.46, 0.66);
  path.push(at(belly + random.uniform(0.1, 0.2), random.uniform(0.46, 0.56)));
  path.push(at(belly - random.uniform(0.08, 0.18), random.uniform(0.68, 0.76)));
  const endX = random.uniform(0.82, 1.12);
  const form = random.uniform();
  if (form < 0.42) {
    // Straight base after a sharp turn; it may rise, fall or sag.
    path.push(turn(footX, footY));
    path.push(at((footX + endX) / 2, footY + random.normal(0.01, 0.03)));
    path.push(at(endX, footY + random.normal(0, 0.06)));
  } else if (form < 0.82) {
    // The turn is a loop, from tiny to generous.
    const size = random.uniform(0.3, 1.1);
    path.push(at(footX + 0.14 * size, footY + random.uniform(-0.02, 0.04)));
    path.push(at(footX, footY + random.uniform(-0.06, 0.01)));
    path.push(at(footX + 0.05 * size, footY - random.uniform(0.1, 0.17) * size));
    path.push(at(footX + 0.2 + 0.1 * size, footY - random.uniform(0.04, 0.13) * size));
    path.push(at(footX + 0.42 + 0.1 * size, footY + random.uniform(-0.02, 0.06)));
    path.push(at(endX, footY + random.uniform(-0.14, 0.08)));
  } else {
    // A round turn and a wavy base.
    path.push(at(footX + 0.05, footY - 0.04), at(footX + 0.12, footY + 0.02));
    path.push(at(footX + 0.38, footY - random.uniform(-0.01, 0.08)));
    path.push(at(endX - 0.16, footY + random.uniform(0, 0.07)));
    path.push(at(endX, footY - random.uniform(0, 0.12)));
  }
  return [path];
};

const three: Glyph = (random) => {
  const upper = random.uniform(0.66, 0.9);
  const lower = random.uniform(0.76, 0.98);
  const waistX = random.uniform(0.25, 0.56);
  const waistY = random.uniform(0.37, 0.56);
  const path: Stroke = [];
  const startX = random.uniform(0.02, 0.24);
  if (chance(random, 0.1)) {
    // Flat top: a bar, then a diagonal to the waist.
    path.push(at(startX, random.uniform(0, 0.06)), turn(upper, random.uniform(0, 0.05)));
    path.push(turn(waistX, waistY - 0.02));
  } else {
    path.push(
      at(startX, random.uniform(0.06, 0.22)),
      at((startX + upper) / 2 - random.uniform(0, 0.08), random.uniform(0, 0.03)),
      at(upper, random.uniform(0.16, 0.26)),
      at((upper + waistX) / 2 + 0.06, waistY - random.uniform(0.06, 0.1)),
    );
    const form = random.uniform();
    if (form < 0.5) path.push(turn(waistX, waistY));
    else if (form < 0.75) path.push(at(waistX, waistY - 0.005), at(waistX + 0.02, waistY + 0.02));
    else {
      // A small loop at the waist.
      const size = random.uniform(0.4, 1.2);
      path.push(at(waistX, waistY + 0.03 * size), at(waistX - 0.09 * size, waistY + 0.03 * size));
      path.push(at(waistX - 0.06 * size, waistY - 0.04 * size), at(waistX + 0.06, waistY - 0.01));
    }
  }
  const depth = random.uniform(0.66, 0.78);
  path.push(
    at((waistX + lower) / 2 + random.uniform(0.02, 0.12), waistY + random.uniform(0.03, 0.09)),
    at(lower, depth),
    at(lower - random.uniform(0.14, 0.24), random.uniform(0.9, 0.96)),
    at(random.uniform(0.3, 0.5), 1),
    at(random.uniform(0.12, 0.22), random.uniform(0.92, 0.98)),
    at(random.uniform(-0.02, 0.1), random.uniform(0.78, 0.92)),
  );
  if (chance(random, 0.06)) path.push(at(0.12, 0.76), at(0.22, 0.82));
  return [path];
};

const four: Glyph = (random) => {
  const stemX = random.uniform(0.62, 0.86);
  const barY = random.uniform(0.42, 0.68);
  const lean = random.normal(0.04, 0.06);
  const overshoot = random.uniform(0, 1) ** 1.5 * 0.34;
  const barEnd = (slope: number): Point => at(stemX + overshoot, barY - slope);
  const slope = random.normal(0.03, 0.05);
  const foot = at(stemX - lean + random.normal(0, 0.03), 1);
  const form = random.uniform();
  if (form < 0.18) {
    // Closed: the left arm and the stem meet at the top.
    const left = random.uniform(-0.04, 0.1);
    const low = random.uniform(0, 0.1);
    const peakX = stemX + random.normal(-0.02, 0.03);
    const arm: Stroke = [
      at(peakX, random.uniform(-0.02, 0.05)),
      at((peakX + left) / 2 + random.normal(0, 0.03), (barY + low) / 2),
      turn(left, barY + low),
    ];
    arm.push(at((left + stemX) / 2, barY + low - slope / 2 + random.normal(0, 0.012)), barEnd(slope - low));
    if (chance(random, 0.25)) {
      // Without lifting the pen the stem follows from a loop, or comes first.
      return [[at(foot.x, 1), at(stemX - lean / 2, 0.5), turn(peakX, 0), ...arm.slice(1)]];
    }
    return [arm, [at(stemX + random.normal(0, 0.02), random.uniform(-0.02, 0.16)), at(stemX - lean / 2, 0.5), foot]];
  }
  const leftX = random.uniform(0.02, 0.24);
  const leftTop = random.uniform(-0.02, 0.18);
  const inset = random.uniform(-0.02, 0.14);
  const stemTop = random.uniform(-0.06, 0.22);
  const stemTopX = stemX + random.normal(0.02, 0.04);
  const arm: Stroke = [at(leftX, leftTop), at(leftX - inset * 0.7, (leftTop + barY) * 0.52)];
  if (form < 0.58) {
    // Open, with an angular arm.
    arm.push(turn(leftX - inset, barY + random.normal(0, 0.02)));
    arm.push(at((leftX + stemX) / 2, barY - slope / 2 + random.normal(0, 0.015)), barEnd(slope));
    return [arm, [at(stemTopX, stemTop), at(stemX - lean / 2, barY), foot]];
  }
  if (form < 0.82) {
    // Open, with a round arm.
    arm.push(at(leftX - inset + 0.02, barY - random.uniform(0.06, 0.12)));
    arm.push(at(leftX - inset + random.uniform(0.1, 0.16), barY + random.uniform(-0.01, 0.03)));
    arm.push(at((leftX + stemX) / 2 + 0.08, barY - slope / 2), barEnd(slope));
    return [arm, [at(stemTopX, stemTop), at(stemX - lean / 2, barY), foot]];
  }
  // Joined: the arm runs up into the stem and back down.
  arm.push(at(leftX - inset + 0.02, barY - random.uniform(0.05, 0.1)));
  arm.push(at(leftX - inset + random.uniform(0.1, 0.18), barY + random.uniform(0, 0.03)));
  arm.push(at(stemX - 0.12, barY - random.uniform(0.04, 0.14)));
  if (chance(random, 0.5)) arm.push(turn(stemTopX, stemTop));
  else arm.push(at(stemTopX - 0.02, stemTop + 0.06), at(stemTopX + 0.02, stemTop), at(stemTopX + 0.03, stemTop + 0.08));
  arm.push(at(stemX - lean / 2 + 0.01, barY + 0.05), foot);
  return [arm];
};

const five: Glyph = (random) => {
  const left = random.uniform(0.1, 0.3);
  const barLeft = left + random.uniform(-0.02, 0.12);
  const barY = random.uniform(0, 0.08);
  const barRight = random.uniform(0.68, 1.08);
  const barRise = random.normal(0.03, 0.05);
  const kneeY = random.uniform(0.33, 0.53);
  const right = random.uniform(0.72, 0.96);
  const knee: Point[] = chance(random, 0.65)
    ? [turn(left, kneeY)]
    : [at(left + 0.005, kneeY - 0.03), at(left + 0.08, kneeY - 0.01)];
  const bowl: Point[] = [
    at(left + random.uniform(0.2, 0.3), kneeY - random.uniform(0.02, 0.09)),
    at(right - random.uniform(0.06, 0.12), kneeY + random.uniform(0.06, 0.12)),
    at(right, random.uniform(0.66, 0.76)),
    at(right - random.uniform(0.14, 0.24), random.uniform(0.89, 0.96)),
    at(random.uniform(0.3, 0.48), random.uniform(0.97, 1.01)),
    at(random.uniform(-0.02, 0.16), random.uniform(0.8, 0.97)),
  ];
  const form = random.uniform();
  if (form < 0.42) {
    // One stroke from the right end of the bar.
    const bar = [at(barRight, barY - barRise), at((barRight + barLeft) / 2, barY + random.normal(0, 0.015))];
    const neck = chance(random, 0.7) ? turn(barLeft, barY) : at(barLeft, barY + 0.02);
    return [[...bar, neck, at((barLeft + left) / 2 + random.normal(0, 0.015), (barY + kneeY) / 2), ...knee, ...bowl]];
  }
  if (form < 0.56) {
    // Like an S, without corners.
    return [
      [
        at(barRight, barY + random.uniform(-0.04, 0.06)),
        at((barRight + barLeft) / 2, random.uniform(-0.02, 0.02)),
        at(barLeft - 0.02, random.uniform(0.12, 0.2)),
        at(left + random.uniform(0.04, 0.12), kneeY - random.uniform(0.02, 0.06)),
        at((left + right) / 2 + 0.08, kneeY + random.uniform(0.04, 0.1)),
        ...bowl.slice(2),
      ],
    ];
  }
  // The bar is a second stroke: attached, detached or overshooting.
  const body: Stroke = [at(barLeft, barY), at((barLeft + left) / 2, (barY + kneeY) / 2), ...knee, ...bowl];
  const gap = chance(random, 0.4) ? random.uniform(0, 0.14) : random.normal(0, 0.03);
  const lift = random.normal(0.015, 0.03);
  return [
    body,
    [
      at(barLeft + gap, barY - lift),
      at((barLeft + gap + barRight) / 2, barY - lift - barRise / 2 + random.normal(0, 0.015)),
      at(barRight, barY - lift - barRise),
    ],
  ];
};

const six: Glyph = (random) => {
  const loopTop = random.uniform(0.46, 0.74);
  const loopY = (loopTop + 1) / 2;
  const ry = (1 - loopTop) / 2;
  const rx = random.uniform(0.22, 0.4);
  const loopX = 0.08 + rx;
  const topX = loopX + random.uniform(-0.16, 0.28);
  const bow = random.uniform(0, 0.12);
  const path: Stroke = [];
  if (chance(random, 0.1)) path.push(at(topX + 0.08, random.uniform(0.04, 0.1)));
  path.push(
    at(topX, 0),
    at(0.08 + (topX - 0.08) * random.uniform(0.4, 0.52) - bow * 0.4, 0.22),
    at(0.08 + (topX - 0.08) * random.uniform(0.1, 0.18) - bow * 0.3, loopTop * random.uniform(0.82, 0.96)),
  );
  // From the left side of the loop, through its bottom and right side, back to or across the stem.
  const end = -375 + random.normal(0, 24);
  path.push(...arc(loopX, loopY, rx, ry, 180, 180 + end, random.normal(-0.12, 0.12)));
  if (chance(random, 0.1)) {
    const last = path[path.length - 1];
    path.push(at(last.x + 0.12, last.y + random.uniform(0.06, 0.12)));
  }
  return [path];
};

const seven: Glyph = (random) => {
  const topRight = random.uniform(0.78, 1);
  const barY = random.uniform(0.02, 0.12);
  const rise = random.normal(0.02, 0.05);
  const footX = random.uniform(0.12, 0.68);
  const left = random.uniform(0, 0.18);
  const path: Stroke = [];
  const start = random.uniform();
  if (start < 0.28) path.push(at(left - random.uniform(-0.02, 0.04), barY + random.uniform(0.08, 0.24)));
  path.push(start < 0.14 ? turn(left, barY) : at(left, barY));
  path.push(at((left + topRight) / 2, barY - rise / 2 + random.normal(0, 0.02)));
  if (chance(random, 0.68)) path.push(turn(topRight, barY - rise));
  else path.push(at(topRight - 0.06, barY - rise), at(topRight, barY - rise + random.uniform(0.05, 0.1)));
  const bend = random.normal(-0.03, 0.05);
  const at1 = random.uniform(0.32, 0.4);
  const at2 = random.uniform(0.62, 0.72);
  path.push(
    at(topRight + (footX - topRight) * at1 + bend, at1),
    at(topRight + (footX - topRight) * at2 + bend * 1.2, at2),
  );
  path.push(at(footX, 1));
  if (chance(random, 0.05)) path.push(at(footX + 0.1, 0.97));
  if (!chance(random, 0.16)) return [path];
  const crossY = random.uniform(0.42, 0.58);
  const crossX = topRight + (footX - topRight) * crossY + bend;
  const tilt = random.normal(0.02, 0.05);
  return [
    path,
    [
      at(crossX - random.uniform(0.16, 0.3), crossY + tilt),
      at(crossX, crossY + random.normal(0, 0.01)),
      at(crossX + random.uniform(0.14, 0.3), crossY - tilt),
    ],
  ];
};

const eight: Glyph = (random) => {
  const waist = random.uniform(0.4, 0.56);
  const upper = random.uniform(0.22, 0.35);
  const lower = upper * random.uniform(0.85, 1.4);
  const shift = random.normal(0.02, 0.05);
  const ux = 0.5 + shift;
  const lx = 0.5 - shift;
  if (chance(random, 0.1)) {
    // Two separate rings.
    const a = -90 + random.normal(0, 60);
    const b = -90 + random.normal(0, 40);
    return [
      arc(ux, waist / 2, upper, waist / 2, a, a - 360 + random.normal(0, 18), random.normal(0, 0.1)),
      arc(lx, (1 + waist) / 2, lower, (1 - waist) / 2, b, b - 360 + random.normal(0, 18), random.normal(0, 0.1)),
    ];
  }
  const uh = waist / 2;
  const lh = (1 - waist) / 2;
  const cross = random.uniform(0.02, 0.1);
  // One round of the figure, counter-clockwise in the upper loop, from the crossing.
  const round: Point[] = [
    at(ux + cross, waist - 0.02),
    at(ux + upper * 0.9, uh * random.uniform(0.9, 1.2)),
    at(ux + upper * 0.62, uh * 0.22),
    at(ux, 0),
    at(ux - upper * 0.72, uh * 0.3),
    at(ux - upper * 0.92, uh * 1.05),
    at(ux - upper * 0.4, waist - uh * 0.3),
    at((ux + lx) / 2 + cross, waist + 0.04),
    at(lx + lower * 0.72, waist + lh * 0.42),
    at(lx + lower, waist + lh * 1.1),
    at(lx + lower * 0.62, 1 - lh * 0.2),
    at(lx, 1),
    at(lx - lower * 0.7, 1 - lh * 0.28),
    at(lx - lower * 0.95, waist + lh),
    at(lx - lower * 0.5, waist + lh * 0.36),
  ];
  // Most hands begin at the upper right, some at the top or in the middle.
  const form = random.uniform();
  const first = form < 0.6 ? 1 + random.integer(2) : form < 0.8 ? 3 + random.integer(2) : random.integer(round.length);
  const path: Stroke = [];
  const extra = Math.round(random.normal(0.8, 0.7));
  const total = round.length + Math.max(-1, Math.min(2, extra));
  for (let i = 0; i < total; i++) {
    const point = round[(first + i) % round.length];
    const drift = i >= round.length - 1 ? random.normal(0.01, 0.04) : 0;
    path.push(at(point.x + drift, point.y + drift * 0.6));
  }
  if (form < 0.18) {
    // Starts and ends as open ends that miss each other.
    path[0].x += random.uniform(0, 0.07);
    path[path.length - 1].x += random.uniform(-0.03, 0.06);
  }
  if (chance(random, 0.08)) for (const point of path) point.x = 1 - point.x;
  return [path];
};

const nine: Glyph = (random) => {
  const loopBottom = random.uniform(0.34, 0.6);
  const ry = loopBottom / 2;
  const rx = random.uniform(0.19, 0.36);
  const right = 0.8;
  const loopX = right - rx;
  const lean = random.normal(0.06, 0.09);
  const start = random.normal(-32, 24);
  // Counter-clockwise: over the top, down the left side, back up to the right side.
  const loop = arc(loopX, ry, rx, ry, start, -338 + random.normal(0, 14), random.normal(0, 0.12));
  const form = random.uniform();
  const joinY = random.uniform(0.02, 0.2);
  const joinX = right + random.normal(0, 0.025);
  const tail: Point[] = [];
  if (form < 0.5) {
    // Straight tail.
    tail.push(at(right - lean * 0.4 + random.normal(0, 0.01), 0.45 + random.normal(0, 0.03)));
    tail.push(at(right - lean * 0.75 + random.normal(0, 0.02), 0.75), at(right - lean, 1));
    if (chance(random, 0.06)) tail.push(at(right - lean + 0.1, 0.96));
  } else if (form < 0.75) {
    // Tail curving to the left.
    const reach = random.uniform(0.12, 0.6);
    tail.push(at(right + 0.01, 0.42), at(right - 0.02 - reach * 0.22, 0.72), at(right - reach * 0.62, 0.92));
    tail.push(at(right - reach, 1));
  } else {
    // Hook, sometimes running up again.
    const reach = random.uniform(0.3, 0.66);
    tail.push(at(right, 0.5), at(right - 0.04, 0.82), at(right - reach * 0.5, 1));
    tail.push(at(right - reach, random.uniform(0.86, 0.97)));
  }
  if (chance(random, 0.2)) return [loop, [at(joinX, joinY), ...tail]];
  if (chance(random, 0.55)) return [[...loop, turn(joinX, joinY), ...tail]];
  return [[...loop, at(joinX - 0.01, joinY + 0.03), at(joinX + 0.01, joinY + 0.07), ...tail]];
};

/** By class. */
export const GLYPHS: readonly Glyph[] = [zero, one, two, three, four, five, six, seven, eight, nine];
