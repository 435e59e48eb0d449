import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';

/** Answers one request; `count` is how many came before it. */
export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A server on this machine that keeps what it was asked. */
export interface FileServer {
  /** `http://localhost:PORT` */
  readonly origin: string;
  readonly requests: IncomingMessage[];
  /** Answers from now on. */
  handle(handler: Handler): void;
  /** Cuts all connections. */
  cut(): void;
  /** No connection is accepted any more. */
  close(): Promise<void>;
}

/** A server that ends with the tests of the file, if not before. */
export async function serve(handler: Handler): Promise<FileServer> {
  const requests: IncomingMessage[] = [];
  let current = handler;
  const server: Server = createServer((request, response) => {
    requests.push(request);
    current(request, response, requests.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  after(close);
  const handle = (next: Handler): void => {
    current = next;
  };
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    requests,
    handle,
    cut: () => server.closeAllConnections(),
    close,
  };
}

/** Serves one file as HTTP wants it: ETag, If-None-Match, Range with If-Range. */
export function sendFile(
  content: Uint8Array,
  request: IncomingMessage,
  response: ServerResponse,
  etag = `"${sha256Of(content).slice(0, 20)}"`,
): void {
  const { range, 'if-range': condition, 'if-none-match': known } = request.headers;
  response.setHeader('etag', etag);
  if (known === etag) {
    response.writeHead(304).end();
    return;
  }
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  if (range === undefined || (condition !== undefined && condition !== etag)) {
    response.writeHead(200, { 'content-length': content.length }).end(content);
  } else if (from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
  } else {
    const rest = content.subarray(from);
    response.writeHead(206, {
      'content-length': rest.length,
      'content-range': `bytes ${from}-${content.length - 1}/${content.length}`,
    });
    response.end(rest);
  }
}

/** Sends the first bytes of a whole file, and then nothing more. */
export function sendStart(content: Uint8Array, bytes: number, response: ServerResponse, etag?: string): void {
  const tag = etag ?? `"${sha256Of(content).slice(0, 20)}"`;
  response.writeHead(200, { 'content-length': content.length, ...(tag === '' ? {} : { etag: tag }) });
  response.write(content.subarray(0, bytes));
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
