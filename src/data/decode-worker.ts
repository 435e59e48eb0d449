import { type DecodeAnswer, type DecodeRequest, decodeFiles } from './decode-files.js';
import { serveRequests } from './worker-pool.js';

serveRequests<DecodeRequest, DecodeAnswer[]>(decodeFiles);
