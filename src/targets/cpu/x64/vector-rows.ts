/**
 * Vector and mask instructions, one row per encoding (see `row.ts`): AVX, AVX2, FMA, F16C and AVX-512 F, BW, DQ, VL, VNNI, BF16.
 * Source: Intel SDM volume 2 (chapters 3–5), Intel Architecture Instruction Set Extensions reference (VNNI, BF16).
 */

type FusedName = `v${'fmadd' | 'fmsub' | 'fnmadd' | 'fnmsub'}${132 | 213 | 231}${'ps' | 'ss'}`;

/** The order of the operands is 90h, A0h, B0h; the signs 8, A, C, E; scalars are odd. */
function fused(): Record<FusedName, string> {
  const rows = {} as Record<FusedName, string>;
  for (const [order, high] of [
    [132, 0x90],
    [213, 0xa0],
    [231, 0xb0],
  ] as const) {
    for (const [sign, low] of [
      ['fmadd', 8],
      ['fmsub', 10],
      ['fnmadd', 12],
      ['fnmsub', 14],
    ] as const) {
      rows[`v${sign}${order}ps`] = `RVM v v v/m = 66.0F38.W0 ${(high + low).toString(16)} fma f kz b32 er`;
      rows[`v${sign}${order}ss`] = `RVM x x x/m32 = 66.0F38.W0 ${(high + low + 1).toString(16)} fma f kz er`;
    }
  }
  return rows;
}

type MaskName =
  `k${'and' | 'andn' | 'or' | 'xnor' | 'xor' | 'add' | 'not' | 'ortest' | 'test' | 'shiftl' | 'shiftr'}${'b' | 'w' | 'd' | 'q'}`;

/** Sizes differ in prefix, W and feature. */
function masks(): Record<MaskName, string> {
  const rows = {} as Record<MaskName, string>;
  const sizes = [
    ['b', '66.0F.W0', 'kdq'],
    ['w', 'NP.0F.W0', 'kf'],
    ['d', '66.0F.W1', 'kbw'],
    ['q', 'NP.0F.W1', 'kbw'],
  ] as const;
  for (const [size, header, feature] of sizes) {
    for (const [name, opcode] of [
      ['and', '41'],
      ['andn', '42'],
      ['or', '45'],
      ['xnor', '46'],
      ['xor', '47'],
      ['add', '4A'],
    ] as const) {
      const needs = name === 'add' && size === 'w' ? 'kdq' : feature;
      rows[`k${name}${size}`] = `RVM k k k = ${header} ${opcode} ${needs} L1`;
    }
    rows[`knot${size}`] = `RM k k = ${header} 44 ${feature}`;
    rows[`kortest${size}`] = `RM k k = ${header} 98 ${feature}`;
    rows[`ktest${size}`] = `RM k k = ${header} 99 ${size === 'w' ? 'kdq' : feature}`;
    const w = size === 'b' || size === 'd' ? 'W0' : 'W1';
    const wide = size === 'b' || size === 'w' ? 0 : 1;
    rows[`kshiftl${size}`] = `RMI k k ib = 66.0F3A.${w} ${(0x32 + wide).toString(16)} ${feature}`;
    rows[`kshiftr${size}`] = `RMI k k ib = 66.0F3A.${w} ${(0x30 + wide).toString(16)} ${feature}`;
  }
  return rows;
}

type VectorName = FusedName | MaskName | keyof typeof OTHER_ROWS;

const OTHER_ROWS = {
  // Moves
  vmovups: ['RM v v/m = NP.0F.W0 10 avx f kz back=11', 'MR m v = NP.0F.W0 11 avx f km'],
  vmovaps: ['RM v v/m = NP.0F.W0 28 avx f kz back=29', 'MR m v = NP.0F.W0 29 avx f km'],
  vmovdqu: ['RM v v/m = F3.0F.W0 6F avx f kz back=7F as=vmovdqu32', 'MR m v = F3.0F.W0 7F avx f km as=vmovdqu32'],
  vmovdqa: ['RM v v/m = 66.0F.W0 6F avx f kz back=7F as=vmovdqa32', 'MR m v = 66.0F.W0 7F avx f km as=vmovdqa32'],
  vmovdqu8: ['RM v v/m = F2.0F.W0 6F bw kz', 'MR m v = F2.0F.W0 7F bw km'],
  vmovdqu16: ['RM v v/m = F2.0F.W1 6F bw kz', 'MR m v = F2.0F.W1 7F bw km'],
  vmovdqu32: ['RM v v/m = F3.0F.W0 6F f kz', 'MR m v = F3.0F.W0 7F f km'],
  vmovdqu64: ['RM v v/m = F3.0F.W1 6F f kz', 'MR m v = F3.0F.W1 7F f km'],
  vmovdqa32: ['RM v v/m = 66.0F.W0 6F f kz', 'MR m v = 66.0F.W0 7F f km'],
  vmovntps: 'MR m v = NP.0F.W0 2B avx f',
  vmovntdq: 'MR m v = 66.0F.W0 E7 avx f',
  vmovntdqa: 'RM v m = 66.0F38.W0 2A avx|avx2 f',
  vmovss: [
    'RM x m32 = F3.0F.W0 10 avx f kz',
    'MR m32 x = F3.0F.W0 11 avx f km',
    'RVM x x x = F3.0F.W0 10 avx f kz back=11',
  ],
  vmovsd: [
    'RM x m64 = F2.0F.W01 10 avx f kz',
    'MR m64 x = F2.0F.W01 11 avx f km',
    'RVM x x x = F2.0F.W01 10 avx f kz back=11',
  ],
  vmovd: ['RM x r32/m32 = 66.0F.W0 6E avx f', 'MR r32/m32 x = 66.0F.W0 7E avx f'],
  vmovq: [
    'RM x m64 = F3.0F.W0 7E avx',
    'MR m64 x = 66.0F.W0 D6 avx',
    'RM x r64/m64 = 66.0F.W1 6E avx f',
    'MR r64/m64 x = 66.0F.W1 7E avx f',
  ],
  vmovhlps: 'RVM x x x = NP.0F.W0 12 avx f',
  vmovlhps: 'RVM x x x = NP.0F.W0 16 avx f',
  vmovlps: ['RVM x x m64 = NP.0F.W0 12 avx f', 'MR m64 x = NP.0F.W0 13 avx f'],
  vmovhps: ['RVM x x m64 = NP.0F.W0 16 avx f', 'MR m64 x = NP.0F.W0 17 avx f'],
  vmovshdup: 'RM v v/m = F3.0F.W0 16 avx f kz',
  vmovsldup: 'RM v v/m = F3.0F.W0 12 avx f kz',
  vmovmskps: 'RM r32 v = NP.0F.W0 50 avx',
  vpmovmskb: 'RM r32 v = 66.0F.W0 D7 avx|avx2',
  vmaskmovps: ['RVM v v m = 66.0F38.W0 2C avx', 'MVR m v v = 66.0F38.W0 2E avx'],
  vpmaskmovd: ['RVM v v m = 66.0F38.W0 8C avx2', 'MVR m v v = 66.0F38.W0 8E avx2'],

  // Broadcasts
  vbroadcastss: ['RM v m32 = 66.0F38.W0 18 avx f kz', 'RM v x = 66.0F38.W0 18 avx2 f kz'],
  vbroadcastsd: ['RM v m64 = 66.0F38.W01 19 avx f kz min256', 'RM v x = 66.0F38.W01 19 avx2 f kz min256'],
  vpbroadcastb: ['RM v x/m8 = 66.0F38.W0 78 avx2 bw kz', 'RM v r32 = 66.0F38.W0 7A bw kz'],
  vpbroadcastw: ['RM v x/m16 = 66.0F38.W0 79 avx2 bw kz', 'RM v r32 = 66.0F38.W0 7B bw kz'],
  vpbroadcastd: ['RM v x/m32 = 66.0F38.W0 58 avx2 f kz', 'RM v r32 = 66.0F38.W0 7C f kz'],
  vpbroadcastq: ['RM v x/m64 = 66.0F38.W01 59 avx2 f kz', 'RM v r64 = 66.0F38.W1 7C f kz'],
  vbroadcastf128: 'RM y m128 = 66.0F38.W0 1A avx f kz as=vbroadcastf32x4',
  vbroadcasti128: 'RM y m128 = 66.0F38.W0 5A avx2 f kz as=vbroadcasti32x4',
  vbroadcastf32x4: 'RM v m128 = 66.0F38.W0 1A f kz min256',
  vbroadcasti32x4: 'RM v m128 = 66.0F38.W0 5A f kz min256',
  vbroadcastf32x8: 'RM z m256 = 66.0F38.W0 1B dq kz',
  vbroadcastf64x4: 'RM z m256 = 66.0F38.W1 1B f kz',

  // f32 arithmetic
  vaddps: 'RVM v v v/m = NP.0F.W0 58 avx f kz b32 er',
  vaddss: 'RVM x x x/m32 = F3.0F.W0 58 avx f kz er',
  vsubps: 'RVM v v v/m = NP.0F.W0 5C avx f kz b32 er',
  vsubss: 'RVM x x x/m32 = F3.0F.W0 5C avx f kz er',
  vmulps: 'RVM v v v/m = NP.0F.W0 59 avx f kz b32 er',
  vmulss: 'RVM x x x/m32 = F3.0F.W0 59 avx f kz er',
  vdivps: 'RVM v v v/m = NP.0F.W0 5E avx f kz b32 er',
  vdivss: 'RVM x x x/m32 = F3.0F.W0 5E avx f kz er',
  vminps: 'RVM v v v/m = NP.0F.W0 5D avx f kz b32 sae',
  vminss: 'RVM x x x/m32 = F3.0F.W0 5D avx f kz sae',
  vmaxps: 'RVM v v v/m = NP.0F.W0 5F avx f kz b32 sae',
  vmaxss: 'RVM x x x/m32 = F3.0F.W0 5F avx f kz sae',
  vsqrtps: 'RM v v/m = NP.0F.W0 51 avx f kz b32 er',
  vsqrtss: 'RVM x x x/m32 = F3.0F.W0 51 avx f kz er',
  vrsqrtps: 'RM v v/m = NP.0F.W0 52 avx',
  vrsqrtss: 'RVM x x x/m32 = F3.0F.W0 52 avx',
  vrcpps: 'RM v v/m = NP.0F.W0 53 avx',
  vrcpss: 'RVM x x x/m32 = F3.0F.W0 53 avx',
  vrsqrt14ps: 'RM v v/m = 66.0F38.W0 4E f kz b32',
  vrsqrt14ss: 'RVM x x x/m32 = 66.0F38.W0 4F f kz',
  vrcp14ps: 'RM v v/m = 66.0F38.W0 4C f kz b32',
  vrcp14ss: 'RVM x x x/m32 = 66.0F38.W0 4D f kz',
  vhaddps: 'RVM v v v/m = F2.0F.W0 7C avx',
  vscalefps: 'RVM v v v/m = 66.0F38.W0 2C f kz b32 er',
  vscalefss: 'RVM x x x/m32 = 66.0F38.W0 2D f kz er',
  vgetexpps: 'RM v v/m = 66.0F38.W0 42 f kz b32 sae',
  vgetmantps: 'RMI v v/m ib = 66.0F3A.W0 26 f kz b32 sae',
  vrangeps: 'RVMI v v v/m ib = 66.0F3A.W0 50 dq kz b32 sae',
  vreduceps: 'RMI v v/m ib = 66.0F3A.W0 56 dq kz b32 sae',
  vroundps: 'RMI v v/m ib = 66.0F3A.W0 08 avx f kz b32 sae as=vrndscaleps',
  vroundss: 'RVMI x x x/m32 ib = 66.0F3A.W0 0A avx f kz sae as=vrndscaless',
  vrndscaleps: 'RMI v v/m ib = 66.0F3A.W0 08 f kz b32 sae',
  vrndscaless: 'RVMI x x x/m32 ib = 66.0F3A.W0 0A f kz sae',

  // Bits
  vandps: 'RVM v v v/m = NP.0F.W0 54 avx dq kz b32',
  vandnps: 'RVM v v v/m = NP.0F.W0 55 avx dq kz b32',
  vorps: 'RVM v v v/m = NP.0F.W0 56 avx dq kz b32',
  vxorps: 'RVM v v v/m = NP.0F.W0 57 avx dq kz b32',
  vpand: 'RVM v v v/m = 66.0F.W0 DB avx|avx2 f kz b32 as=vpandd',
  vpandn: 'RVM v v v/m = 66.0F.W0 DF avx|avx2 f kz b32 as=vpandnd',
  vpor: 'RVM v v v/m = 66.0F.W0 EB avx|avx2 f kz b32 as=vpord',
  vpxor: 'RVM v v v/m = 66.0F.W0 EF avx|avx2 f kz b32 as=vpxord',
  vpandd: 'RVM v v v/m = 66.0F.W0 DB f kz b32',
  vpandnd: 'RVM v v v/m = 66.0F.W0 DF f kz b32',
  vpord: 'RVM v v v/m = 66.0F.W0 EB f kz b32',
  vpxord: 'RVM v v v/m = 66.0F.W0 EF f kz b32',
  vpternlogd: 'RVMI v v v/m ib = 66.0F3A.W0 25 f kz b32',
  vptest: 'RM v v/m = 66.0F38.W0 17 avx',
  vtestps: 'RM v v/m = 66.0F38.W0 0E avx',

  // Conversions
  vcvttps2dq: 'RM v v/m = F3.0F.W0 5B avx f kz b32 sae',
  vcvtps2dq: 'RM v v/m = 66.0F.W0 5B avx f kz b32 er',
  vcvtdq2ps: 'RM v v/m = NP.0F.W0 5B avx f kz b32 er',
  vcvttps2udq: 'RM v v/m = NP.0F.W0 78 f kz b32 sae',
  vcvtudq2ps: 'RM v v/m = F2.0F.W0 7A f kz b32 er',
  vcvtph2ps: 'RM v h/m = 66.0F38.W0 13 f16c f kz sae',
  vcvtps2ph: ['MRI h v ib = 66.0F3A.W0 1D f16c f kz sae', 'MRI mh v ib = 66.0F3A.W0 1D f16c f km'],
  vcvtps2pd: 'RM v h/m = NP.0F.W0 5A avx f kz b32 sae',
  vcvtss2sd: 'RVM x x x/m32 = F3.0F.W0 5A avx f kz sae',
  vcvtsd2ss: 'RVM x x x/m64 = F2.0F.W01 5A avx f kz er',
  vcvtsi2ss: ['RVM x x r32/m32 = F3.0F.W0 2A avx f', 'RVM x x r64/m64 = F3.0F.W1 2A avx f'],
  vcvttss2si: ['RM r32 x/m32 = F3.0F.W0 2C avx f sae', 'RM r64 x/m32 = F3.0F.W1 2C avx f sae'],
  vcvtss2si: ['RM r32 x/m32 = F3.0F.W0 2D avx f er', 'RM r64 x/m32 = F3.0F.W1 2D avx f er'],

  // Integers
  vpaddb: 'RVM v v v/m = 66.0F.W0 FC avx|avx2 bw kz',
  vpaddw: 'RVM v v v/m = 66.0F.W0 FD avx|avx2 bw kz',
  vpaddd: 'RVM v v v/m = 66.0F.W0 FE avx|avx2 f kz b32',
  vpaddq: 'RVM v v v/m = 66.0F.W01 D4 avx|avx2 f kz b64',
  vpsubb: 'RVM v v v/m = 66.0F.W0 F8 avx|avx2 bw kz',
  vpsubw: 'RVM v v v/m = 66.0F.W0 F9 avx|avx2 bw kz',
  vpsubd: 'RVM v v v/m = 66.0F.W0 FA avx|avx2 f kz b32',
  vpsubq: 'RVM v v v/m = 66.0F.W01 FB avx|avx2 f kz b64',
  vpmulld: 'RVM v v v/m = 66.0F38.W0 40 avx|avx2 f kz b32',
  vpmullw: 'RVM v v v/m = 66.0F.W0 D5 avx|avx2 bw kz',
  vpmuludq: 'RVM v v v/m = 66.0F.W01 F4 avx|avx2 f kz b64',
  vpmuldq: 'RVM v v v/m = 66.0F38.W01 28 avx|avx2 f kz b64',
  vpmaddwd: 'RVM v v v/m = 66.0F.W0 F5 avx|avx2 bw kz',
  vpmaddubsw: 'RVM v v v/m = 66.0F38.W0 04 avx|avx2 bw kz',
  vpminsd: 'RVM v v v/m = 66.0F38.W0 39 avx|avx2 f kz b32',
  vpmaxsd: 'RVM v v v/m = 66.0F38.W0 3D avx|avx2 f kz b32',
  vpminud: 'RVM v v v/m = 66.0F38.W0 3B avx|avx2 f kz b32',
  vpmaxud: 'RVM v v v/m = 66.0F38.W0 3F avx|avx2 f kz b32',
  vpminub: 'RVM v v v/m = 66.0F.W0 DA avx|avx2 bw kz',
  vpmaxub: 'RVM v v v/m = 66.0F.W0 DE avx|avx2 bw kz',
  vpabsd: 'RM v v/m = 66.0F38.W0 1E avx|avx2 f kz b32',
  vpslld: [
    'VMI v v ib = 66.0F.W0 72/6 avx|avx2 f kz',
    'VMI v m ib = 66.0F.W0 72/6 f kz b32',
    'RVM v v x/m128 = 66.0F.W0 F2 avx|avx2 f kz',
  ],
  vpsrld: [
    'VMI v v ib = 66.0F.W0 72/2 avx|avx2 f kz',
    'VMI v m ib = 66.0F.W0 72/2 f kz b32',
    'RVM v v x/m128 = 66.0F.W0 D2 avx|avx2 f kz',
  ],
  vpsrad: [
    'VMI v v ib = 66.0F.W0 72/4 avx|avx2 f kz',
    'VMI v m ib = 66.0F.W0 72/4 f kz b32',
    'RVM v v x/m128 = 66.0F.W0 E2 avx|avx2 f kz',
  ],
  vpsllw: ['VMI v v ib = 66.0F.W0 71/6 avx|avx2 bw kz', 'RVM v v x/m128 = 66.0F.W0 F1 avx|avx2 bw kz'],
  vpsrlw: ['VMI v v ib = 66.0F.W0 71/2 avx|avx2 bw kz', 'RVM v v x/m128 = 66.0F.W0 D1 avx|avx2 bw kz'],
  vpsraw: ['VMI v v ib = 66.0F.W0 71/4 avx|avx2 bw kz', 'RVM v v x/m128 = 66.0F.W0 E1 avx|avx2 bw kz'],
  vpsllq: ['VMI v v ib = 66.0F.W01 73/6 avx|avx2 f kz', 'RVM v v x/m128 = 66.0F.W01 F3 avx|avx2 f kz'],
  vpsrlq: ['VMI v v ib = 66.0F.W01 73/2 avx|avx2 f kz', 'RVM v v x/m128 = 66.0F.W01 D3 avx|avx2 f kz'],
  vpslldq: 'VMI v v ib = 66.0F.W0 73/7 avx|avx2 bw',
  vpsrldq: 'VMI v v ib = 66.0F.W0 73/3 avx|avx2 bw',
  vpsllvd: 'RVM v v v/m = 66.0F38.W0 47 avx2 f kz b32',
  vpsrlvd: 'RVM v v v/m = 66.0F38.W0 45 avx2 f kz b32',
  vpsravd: 'RVM v v v/m = 66.0F38.W0 46 avx2 f kz b32',
  vprold: ['VMI v v ib = 66.0F.W0 72/1 f kz', 'VMI v m ib = 66.0F.W0 72/1 f kz b32'],

  // Comparisons
  vcmpps: ['RVMI v v v/m ib = NP.0F.W0 C2 avx', 'RVMI k v v/m ib = NP.0F.W0 C2 f km b32 sae'],
  vcmpss: ['RVMI x x x/m32 ib = F3.0F.W0 C2 avx', 'RVMI k x x/m32 ib = F3.0F.W0 C2 f km sae'],
  vpcmpeqb: ['RVM v v v/m = 66.0F.W0 74 avx|avx2', 'RVM k v v/m = 66.0F.W0 74 bw km'],
  vpcmpeqw: ['RVM v v v/m = 66.0F.W0 75 avx|avx2', 'RVM k v v/m = 66.0F.W0 75 bw km'],
  vpcmpeqd: ['RVM v v v/m = 66.0F.W0 76 avx|avx2', 'RVM k v v/m = 66.0F.W0 76 f km b32'],
  vpcmpgtb: ['RVM v v v/m = 66.0F.W0 64 avx|avx2', 'RVM k v v/m = 66.0F.W0 64 bw km'],
  vpcmpgtw: ['RVM v v v/m = 66.0F.W0 65 avx|avx2', 'RVM k v v/m = 66.0F.W0 65 bw km'],
  vpcmpgtd: ['RVM v v v/m = 66.0F.W0 66 avx|avx2', 'RVM k v v/m = 66.0F.W0 66 f km b32'],
  vpcmpd: 'RVMI k v v/m ib = 66.0F3A.W0 1F f km b32',
  vpcmpud: 'RVMI k v v/m ib = 66.0F3A.W0 1E f km b32',
  vpcmpb: 'RVMI k v v/m ib = 66.0F3A.W0 3F bw km',
  vpcmpub: 'RVMI k v v/m ib = 66.0F3A.W0 3E bw km',
  vptestmd: 'RVM k v v/m = 66.0F38.W0 27 f km b32',
  vptestnmd: 'RVM k v v/m = F3.0F38.W0 27 f km b32',
  vfpclassps: 'RMI k v ib = 66.0F3A.W0 66 dq km',
  vcomiss: 'RM x x/m32 = NP.0F.W0 2F avx f sae',
  vucomiss: 'RM x x/m32 = NP.0F.W0 2E avx f sae',

  // Blends
  vblendvps: 'RVMS v v v/m v = 66.0F3A.W0 4A avx',
  vpblendvb: 'RVMS v v v/m v = 66.0F3A.W0 4C avx|avx2',
  vblendps: 'RVMI v v v/m ib = 66.0F3A.W0 0C avx',
  vpblendd: 'RVMI v v v/m ib = 66.0F3A.W0 02 avx2',
  vblendmps: 'RVM v v v/m = 66.0F38.W0 65 f kz b32',
  vpblendmd: 'RVM v v v/m = 66.0F38.W0 64 f kz b32',

  // Shuffles, permutes, parts
  vpermilps: ['RVM v v v/m = 66.0F38.W0 0C avx f kz b32', 'RMI v v/m ib = 66.0F3A.W0 04 avx f kz b32'],
  vshufps: 'RVMI v v v/m ib = NP.0F.W0 C6 avx f kz b32',
  vshufpd: 'RVMI v v v/m ib = 66.0F.W01 C6 avx f kz b64',
  vunpcklps: 'RVM v v v/m = NP.0F.W0 14 avx f kz b32',
  vunpckhps: 'RVM v v v/m = NP.0F.W0 15 avx f kz b32',
  vunpcklpd: 'RVM v v v/m = 66.0F.W01 14 avx f kz b64',
  vunpckhpd: 'RVM v v v/m = 66.0F.W01 15 avx f kz b64',
  vpunpcklbw: 'RVM v v v/m = 66.0F.W0 60 avx|avx2 bw kz',
  vpunpckhbw: 'RVM v v v/m = 66.0F.W0 68 avx|avx2 bw kz',
  vpunpcklwd: 'RVM v v v/m = 66.0F.W0 61 avx|avx2 bw kz',
  vpunpckhwd: 'RVM v v v/m = 66.0F.W0 69 avx|avx2 bw kz',
  vpunpckldq: 'RVM v v v/m = 66.0F.W0 62 avx|avx2 f kz b32',
  vpunpckhdq: 'RVM v v v/m = 66.0F.W0 6A avx|avx2 f kz b32',
  vpunpcklqdq: 'RVM v v v/m = 66.0F.W01 6C avx|avx2 f kz b64',
  vpunpckhqdq: 'RVM v v v/m = 66.0F.W01 6D avx|avx2 f kz b64',
  vpshufb: 'RVM v v v/m = 66.0F38.W0 00 avx|avx2 bw kz',
  vpshufd: 'RMI v v/m ib = 66.0F.W0 70 avx|avx2 f kz b32',
  vpshuflw: 'RMI v v/m ib = F2.0F.W0 70 avx|avx2 bw kz',
  vpshufhw: 'RMI v v/m ib = F3.0F.W0 70 avx|avx2 bw kz',
  vpalignr: 'RVMI v v v/m ib = 66.0F3A.W0 0F avx|avx2 bw kz',
  valignd: 'RVMI v v v/m ib = 66.0F3A.W0 03 f kz b32',
  vperm2f128: 'RVMI y y y/m ib = 66.0F3A.W0 06 avx',
  vperm2i128: 'RVMI y y y/m ib = 66.0F3A.W0 46 avx2',
  vpermps: 'RVM v v v/m = 66.0F38.W0 16 avx2 f kz b32 min256',
  vpermd: 'RVM v v v/m = 66.0F38.W0 36 avx2 f kz b32 min256',
  vpermpd: 'RMI v v/m ib = 66.0F3A.W1 01 avx2 f kz b64 min256',
  vpermq: 'RMI v v/m ib = 66.0F3A.W1 00 avx2 f kz b64 min256',
  vpermb: 'RVM v v v/m = 66.0F38.W0 8D vbmi kz',
  vpermw: 'RVM v v v/m = 66.0F38.W1 8D bw kz',
  vpermt2ps: 'RVM v v v/m = 66.0F38.W0 7F f kz b32',
  vpermt2d: 'RVM v v v/m = 66.0F38.W0 7E f kz b32',
  vpermi2ps: 'RVM v v v/m = 66.0F38.W0 77 f kz b32',
  vpermi2d: 'RVM v v v/m = 66.0F38.W0 76 f kz b32',
  vshuff32x4: 'RVMI v v v/m ib = 66.0F3A.W0 23 f kz b32 min256',
  vshuff64x2: 'RVMI v v v/m ib = 66.0F3A.W1 23 f kz b64 min256',
  vshufi32x4: 'RVMI v v v/m ib = 66.0F3A.W0 43 f kz b32 min256',
  vextractf128: [
    'MRI x y ib = 66.0F3A.W0 19 avx f kz as=vextractf32x4',
    'MRI m128 y ib = 66.0F3A.W0 19 avx f km as=vextractf32x4',
  ],
  vextracti128: [
    'MRI x y ib = 66.0F3A.W0 39 avx2 f kz as=vextracti32x4',
    'MRI m128 y ib = 66.0F3A.W0 39 avx2 f km as=vextracti32x4',
  ],
  vextractf32x4: ['MRI x v ib = 66.0F3A.W0 19 f kz min256', 'MRI m128 v ib = 66.0F3A.W0 19 f km min256'],
  vextracti32x4: ['MRI x v ib = 66.0F3A.W0 39 f kz min256', 'MRI m128 v ib = 66.0F3A.W0 39 f km min256'],
  vextractf64x4: ['MRI y z ib = 66.0F3A.W1 1B f kz', 'MRI m256 z ib = 66.0F3A.W1 1B f km'],
  vextracti64x4: ['MRI y z ib = 66.0F3A.W1 3B f kz', 'MRI m256 z ib = 66.0F3A.W1 3B f km'],
  vextractf32x8: ['MRI y z ib = 66.0F3A.W0 1B dq kz', 'MRI m256 z ib = 66.0F3A.W0 1B dq km'],
  vinsertf128: 'RVMI y y x/m128 ib = 66.0F3A.W0 18 avx f kz as=vinsertf32x4',
  vinserti128: 'RVMI y y x/m128 ib = 66.0F3A.W0 38 avx2 f kz as=vinserti32x4',
  vinsertf32x4: 'RVMI v v x/m128 ib = 66.0F3A.W0 18 f kz min256',
  vinserti32x4: 'RVMI v v x/m128 ib = 66.0F3A.W0 38 f kz min256',
  vinsertf64x4: 'RVMI z z y/m256 ib = 66.0F3A.W1 1A f kz',
  vinserti64x4: 'RVMI z z y/m256 ib = 66.0F3A.W1 3A f kz',
  vinsertf32x8: 'RVMI z z y/m256 ib = 66.0F3A.W0 1A dq kz',
  vinsertps: 'RVMI x x x/m32 ib = 66.0F3A.W0 21 avx f',
  vextractps: 'MRI r32/m32 x ib = 66.0F3A.W0 17 avx f',
  vpextrb: 'MRI r32/m8 x ib = 66.0F3A.W0 14 avx bw',
  vpextrd: 'MRI r32/m32 x ib = 66.0F3A.W0 16 avx dq',
  vpextrq: 'MRI r64/m64 x ib = 66.0F3A.W1 16 avx dq',
  vpinsrb: 'RVMI x x r32/m8 ib = 66.0F3A.W0 20 avx bw',
  vpinsrd: 'RVMI x x r32/m32 ib = 66.0F3A.W0 22 avx dq',
  vpinsrq: 'RVMI x x r64/m64 ib = 66.0F3A.W1 22 avx dq',

  // Widening, narrowing
  vpmovzxbd: 'RM v q/m = 66.0F38.W0 31 avx|avx2 f kz',
  vpmovsxbd: 'RM v q/m = 66.0F38.W0 21 avx|avx2 f kz',
  vpmovzxwd: 'RM v h/m = 66.0F38.W0 33 avx|avx2 f kz',
  vpmovsxwd: 'RM v h/m = 66.0F38.W0 23 avx|avx2 f kz',
  vpmovzxbw: 'RM v h/m = 66.0F38.W0 30 avx|avx2 bw kz',
  vpmovsxbw: 'RM v h/m = 66.0F38.W0 20 avx|avx2 bw kz',
  vpmovdb: ['MR q v = F3.0F38.W0 31 f kz', 'MR mq v = F3.0F38.W0 31 f km'],
  vpmovsdb: ['MR q v = F3.0F38.W0 21 f kz', 'MR mq v = F3.0F38.W0 21 f km'],
  vpmovusdb: ['MR q v = F3.0F38.W0 11 f kz', 'MR mq v = F3.0F38.W0 11 f km'],
  vpmovdw: ['MR h v = F3.0F38.W0 33 f kz', 'MR mh v = F3.0F38.W0 33 f km'],
  vpmovsdw: ['MR h v = F3.0F38.W0 23 f kz', 'MR mh v = F3.0F38.W0 23 f km'],
  vpmovusdw: ['MR h v = F3.0F38.W0 13 f kz', 'MR mh v = F3.0F38.W0 13 f km'],
  vpmovwb: ['MR h v = F3.0F38.W0 30 bw kz', 'MR mh v = F3.0F38.W0 30 bw km'],
  vpackssdw: 'RVM v v v/m = 66.0F.W0 6B avx|avx2 bw kz b32',
  vpackusdw: 'RVM v v v/m = 66.0F38.W0 2B avx|avx2 bw kz b32',
  vpacksswb: 'RVM v v v/m = 66.0F.W0 63 avx|avx2 bw kz',
  vpackuswb: 'RVM v v v/m = 66.0F.W0 67 avx|avx2 bw kz',

  // Gathers and scatters
  vgatherdps: ['RMV v m32[v] v = 66.0F38.W0 92 avx2', 'RM v m32[v] = 66.0F38.W0 92 f kk'],
  vpgatherdd: ['RMV v m32[v] v = 66.0F38.W0 90 avx2', 'RM v m32[v] = 66.0F38.W0 90 f kk'],
  vscatterdps: 'MR m32[v] v = 66.0F38.W0 A2 f kk',
  vpscatterdd: 'MR m32[v] v = 66.0F38.W0 A0 f kk',

  // Dot products
  vpdpbusd: 'RVM v v v/m = 66.0F38.W0 50 vnni kz b32',
  vpdpbusds: 'RVM v v v/m = 66.0F38.W0 51 vnni kz b32',
  vpdpwssd: 'RVM v v v/m = 66.0F38.W0 52 vnni kz b32',
  // The form of processors without AVX-512: other feature, so a name of its own.
  '{vex} vpdpbusd': 'RVM v v v/m = 66.0F38.W0 50 avx_vnni',
  '{vex} vpdpbusds': 'RVM v v v/m = 66.0F38.W0 51 avx_vnni',
  '{vex} vpdpwssd': 'RVM v v v/m = 66.0F38.W0 52 avx_vnni',
  vdpbf16ps: 'RVM v v v/m = F3.0F38.W0 52 bf16 kz b32',
  vcvtneps2bf16: 'RM h v = F3.0F38.W0 72 bf16 kz',
  vcvtne2ps2bf16: 'RVM v v v/m = F2.0F38.W0 72 bf16 kz b32',

  // Masks
  kmovb: [
    'RM k k/m8 = 66.0F.W0 90 kdq',
    'MR m8 k = 66.0F.W0 91 kdq',
    'RM k r32 = 66.0F.W0 92 kdq',
    'RM r32 k = 66.0F.W0 93 kdq',
  ],
  kmovw: [
    'RM k k/m16 = NP.0F.W0 90 kf',
    'MR m16 k = NP.0F.W0 91 kf',
    'RM k r32 = NP.0F.W0 92 kf',
    'RM r32 k = NP.0F.W0 93 kf',
  ],
  kmovd: [
    'RM k k/m32 = 66.0F.W1 90 kbw',
    'MR m32 k = 66.0F.W1 91 kbw',
    'RM k r32 = F2.0F.W0 92 kbw',
    'RM r32 k = F2.0F.W0 93 kbw',
  ],
  kmovq: [
    'RM k k/m64 = NP.0F.W1 90 kbw',
    'MR m64 k = NP.0F.W1 91 kbw',
    'RM k r64 = F2.0F.W1 92 kbw',
    'RM r64 k = F2.0F.W1 93 kbw',
  ],
  kunpckbw: 'RVM k k k = 66.0F.W0 4B kf L1',
  kunpckwd: 'RVM k k k = NP.0F.W0 4B kbw L1',
  kunpckdq: 'RVM k k k = NP.0F.W1 4B kbw L1',
  vpmovm2d: 'RM v k = F3.0F38.W0 38 dq',
  vpmovd2m: 'RM k v = F3.0F38.W0 39 dq',

  // State
  vzeroupper: '= NP.0F.W0 77 avx',
  vzeroall: '= NP.0F.W0 77 avx L1',
  vldmxcsr: 'M m32 = NP.0F.W0 AE/2 avx',
  vstmxcsr: 'M m32 = NP.0F.W0 AE/3 avx',
} as const;

export function vectorRows(): Readonly<Record<VectorName, string | readonly string[]>> {
  return { ...fused(), ...masks(), ...OTHER_ROWS };
}
