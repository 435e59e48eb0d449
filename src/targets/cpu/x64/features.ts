/** What a processor may lack, by the name that Intel's manual and /proc/cpuinfo share. The baseline is x86-64 (SSE2). */
export type CpuFeature =
  | 'avx'
  | 'avx2'
  | 'fma'
  | 'f16c'
  | 'avx_vnni'
  | 'avx512f'
  | 'avx512bw'
  | 'avx512dq'
  | 'avx512vl'
  | 'avx512_vnni'
  | 'avx512_bf16'
  | 'avx512vbmi'
  | 'popcnt'
  | 'lzcnt'
  | 'bmi1'
  | 'bmi2';
