export { isRemote } from './address.js';
export { type FetchFileOptions, type FetchProgress, fetchFile, siblingsOf } from './fetch-file.js';
