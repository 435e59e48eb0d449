/** What the passes need to know of the machine that will run the program. */
export interface MachineDescription {
  /** f32 elements of a vector register. */
  readonly lanes: number;
  /** The register tile of dense contractions: neighbouring positions × vector registers of channels. */
  readonly tile: { readonly rows: number; readonly vectors: number };
}
