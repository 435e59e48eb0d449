/**
 * Makes a file available that lies beside another one (a shard of weights, ONNX's external data), and returns its path. Readers of formats
 * with several files ask it before they open one; without it, the files lie in the same folder already.
 *
 * @param name relative to the first file's folder, with `/` between folders
 */
export type Siblings = (name: string) => Promise<string>;
