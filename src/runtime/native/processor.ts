import type { NativeLibrary } from './library.js';
import { CPUID, nativeStubs, XGETBV } from './stubs.js';

/** Bytes of the caches that one core can use; 0 where the processor does not say. */
export interface Caches {
  readonly l1: number;
  readonly l2: number;
  readonly l3: number;
}

/** What the processor says of itself (Intel 64 manual, volume 2, CPUID; AMD64 manual, volume 3, appendix E). */
export interface Processor {
  readonly vendor: string;
  /** Family, model and stepping, as one number tells them (leaf 1, EAX). */
  readonly signature: number;
  /** AVX2 with fused multiply-add, and the system keeps the 256-bit registers. */
  readonly avx2: boolean;
  /** AVX-512 F, BW, DQ and VL, and the system keeps the 512-bit and mask registers. */
  readonly avx512: boolean;
  readonly caches: Caches;
}

let processor: Processor | undefined;

export function detectProcessor(library: NativeLibrary): Processor {
  processor ??= detect(library);
  return processor;
}

interface Registers {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

function detect(library: NativeLibrary): Processor {
  const stubs = nativeStubs(library);
  const call = library.functionAt(stubs.cpuid, CPUID);
  const cpuid = (leaf: number, subleaf = 0): Registers => {
    const words = new Uint32Array(4);
    call(words, leaf, subleaf);
    const [eax, ebx, ecx, edx] = words;
    return { eax, ebx, ecx, edx };
  };
  const bit = (word: number, index: number): boolean => ((word >>> index) & 1) === 1;

  const { eax: leaves, ...name } = cpuid(0);
  const vendor = new TextDecoder().decode(Uint32Array.of(name.ebx, name.edx, name.ecx));
  const one = cpuid(1);
  const seven = leaves >= 7 ? cpuid(7) : { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  // XCR0 says what the system saves: bits 1, 2 the 128- and 256-bit registers, 5–7 masks and 512-bit registers.
  const kept = bit(one.ecx, 27) ? Number(library.functionAt(stubs.xgetbv, XGETBV)()) : 0;
  const avx2 = (kept & 6) === 6 && bit(one.ecx, 28) && bit(one.ecx, 12) && bit(seven.ebx, 5);
  const avx512 = avx2 && (kept & 0xe0) === 0xe0 && [16, 17, 30, 31].every((index) => bit(seven.ebx, index));
  return { vendor, signature: one.eax >>> 0, avx2, avx512, caches: caches(vendor, cpuid) };
}

/** Cache levels with deterministic parameters: leaf 4 on Intel, 8000001Dh on AMD, in the same format. */
function caches(vendor: string, cpuid: (leaf: number, subleaf?: number) => Registers): Caches {
  const amd = vendor === 'AuthenticAMD' || vendor === 'HygonGenuine';
  const leaf = amd ? 0x8000001d : 4;
  const sizes = [0, 0, 0, 0];
  if (cpuid(amd ? 0x80000000 : 0).eax >>> 0 < leaf) return { l1: 0, l2: 0, l3: 0 };
  for (let subleaf = 0; subleaf < 8; subleaf++) {
    const { eax, ebx, ecx } = cpuid(leaf, subleaf);
    const type = eax & 31;
    if (type === 0) break;
    const level = (eax >>> 5) & 7;
    const DATA = 1;
    const UNIFIED = 3;
    if ((type !== DATA && type !== UNIFIED) || level > 3) continue;
    const ways = (ebx >>> 22) + 1;
    const partitions = ((ebx >>> 12) & 1023) + 1;
    const line = (ebx & 4095) + 1;
    sizes[level] = ways * partitions * line * (ecx + 1);
  }
  return { l1: sizes[1], l2: sizes[2], l3: sizes[3] };
}
