import { serveRequests } from '../worker-pool.js';
import { drawStrokes, type StrokesRequest } from './draw-strokes.js';

serveRequests<StrokesRequest, number>(drawStrokes);
