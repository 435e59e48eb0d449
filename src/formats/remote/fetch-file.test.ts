import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FileError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { type FileServer, sendFile, sendStart, serve, sha256Of } from '../../testing/file-server.js';
import { type FetchFileOptions, type FetchProgress, fetchFile } from './fetch-file.js';

const root = temporaryFolder();
const emptyCache = (): string => mkdtempSync(join(root, 'cache-'));
const windows = process.platform === 'win32' && 'folders have no such permissions there';
const FAST = { retryDelay: 0.001 };

/** Bytes of no regularity; other ones for another seed. */
function content(length: number, seed = 1): Buffer {
  const random = new Random(seed);
  return Buffer.from(Uint8Array.from({ length }, () => random.integer(256)));
}

/** Names of all files below a folder. */
function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return (readdirSync(folder, { recursive: true }) as string[]).filter((name) => statSync(join(folder, name)).isFile());
}

const kept = (cache: string): string[] => filesIn(join(cache, 'downloads', 'files'));
const left = (cache: string): string[] => filesIn(join(cache, 'downloads', 'partial'));

async function fails(promise: Promise<unknown>, ...patterns: readonly RegExp[]): Promise<void> {
  await assert.rejects(promise, (error: Error) => {
    assert.ok(error instanceof FileError, `${error.stack}`);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });
}

/** Cuts the connections once, when bytes have come: before that they could be lost on their way. */
function cutOnce(
  server: FileServer,
  also: (progress: FetchProgress) => void = () => undefined,
): (progress: FetchProgress) => void {
  let done = false;
  return (progress) => {
    also(progress);
    if (!done && progress.received > 0) server.cut();
    done ||= progress.received > 0;
  };
}

/** A file on a server of its own, and an empty cache. */
async function setUp(
  file: Uint8Array,
): Promise<{ server: FileServer; url: string; options: FetchFileOptions & { cache: string } }> {
  const server = await serve((request, response) => sendFile(file, request, response));
  return { server, url: `${server.origin}/models/net.onnx`, options: { cache: emptyCache(), ...FAST } };
}

test('a file comes whole, with progress, under its own name', async () => {
  const file = content(300_000);
  const { url, options } = await setUp(file);
  const progress: FetchProgress[] = [];
  const path = await fetchFile(url, { ...options, onProgress: (now) => progress.push(now) });
  assert.deepEqual(readFileSync(path), file);
  assert.match(path, /[\\/]net\.onnx$/);
  assert.deepEqual(progress[0], { file: 'net.onnx', received: 0, total: file.length });
  assert.deepEqual(progress.at(-1), { file: 'net.onnx', received: file.length, total: file.length });
  assert.ok(progress.every(({ received }, i) => i === 0 || received > progress[i - 1].received));
  assert.deepEqual(left(options.cache), []);
});

test('a file without bytes is a file', async () => {
  const { url, options } = await setUp(new Uint8Array(0));
  assert.equal(statSync(await fetchFile(url, options)).size, 0);
});

test('a file in the cache is asked for with its tag, and not sent again', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const path = await fetchFile(url, options);
  assert.equal(await fetchFile(url, options), path);
  assert.equal(server.requests[1].headers['if-none-match'], `"${sha256Of(file).slice(0, 20)}"`);
  // A server that does not look at If-None-Match
  server.handle((_, response) =>
    response.writeHead(200, { etag: `"${sha256Of(file).slice(0, 20)}"` }).end('other bytes'),
  );
  assert.equal(await fetchFile(url, options), path);
  assert.deepEqual(readFileSync(path), file);
});

test('a file with a date alone is asked for with it', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const date = 'Fri, 01 Aug 2025 10:00:00 GMT';
  server.handle((request, response) => {
    if (request.headers['if-modified-since'] === date) response.writeHead(304).end();
    else response.writeHead(200, { 'last-modified': date }).end(file);
  });
  const path = await fetchFile(url, options);
  server.requests.length = 0;
  assert.equal(await fetchFile(url, options), path);
  assert.equal(server.requests[0].headers['if-modified-since'], date);
  assert.deepEqual(readFileSync(path), file);
});

test('a newer version replaces the one in the cache', async () => {
  const [old, young] = [content(5000, 1), content(7000, 2)];
  const { server, url, options } = await setUp(old);
  const path = await fetchFile(url, options);
  server.handle((request, response) => sendFile(young, request, response));
  assert.equal(await fetchFile(url, options), path);
  assert.deepEqual(readFileSync(path), young);
});

test('without a network the cache serves, and says so; without a file in it the error says why', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const path = await fetchFile(url, options);
  await server.close();
  const notes: string[] = [];
  const onNote = (text: string): void => void notes.push(text);
  assert.equal(await fetchFile(url, { ...options, onNote }), path);
  assert.equal(notes.length, 1);
  assert.match(
    notes[0],
    /net\.onnx cannot be fetched \(.*accepts no connection \(ECONNREFUSED\)\); the copy in the cache is used/,
  );
  // Known by its content, it needs no note.
  assert.equal(await fetchFile(url, { ...options, onNote, sha256: sha256Of(file) }), path);
  assert.equal(notes.length, 1);
  await fails(fetchFile(url, { ...options, sha256: '0'.repeat(64) }), /cannot fetch .*ECONNREFUSED/);
  await fails(
    fetchFile(url, { ...options, cache: emptyCache() }),
    /cannot fetch http:.*net\.onnx: localhost:\d+: the server accepts no connection/,
  );
});

test('a server that fails is asked again; then the cache serves', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const path = await fetchFile(url, options);
  server.requests.length = 0;
  server.handle((_, response) => response.writeHead(503).end());
  const notes: string[] = [];
  assert.equal(await fetchFile(url, { ...options, retries: 2, onNote: (text) => notes.push(text) }), path);
  assert.equal(server.requests.length, 3);
  assert.match(notes[0], /503 Service Unavailable/);
});

test('a cache that cannot be written to serves what it holds', { skip: windows }, async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const path = await fetchFile(url, options);
  await server.close();
  // As where a cache was copied into the image of a container.
  utimesSync(path, 1, 1);
  const about = join(options.cache, 'downloads', 'about');
  const superuser = process.geteuid?.() === 0;
  for (const folder of [root, options.cache]) chmodSync(folder, 0o755);
  chmodSync(about, 0o555);
  try {
    if (superuser) process.seteuid?.(65_534);
    assert.throws(() => writeFileSync(join(about, 'new'), ''));
    assert.equal(await fetchFile(url, { ...options, sha256: sha256Of(file) }), path);
  } finally {
    if (superuser) process.seteuid?.(0);
    chmodSync(about, 0o755);
  }
});

test('a file in the cache that somebody changed is fetched anew; copies with other times are as good', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const path = await fetchFile(url, options);
  utimesSync(path, 1, 1);
  await fetchFile(url, options);
  assert.ok(server.requests[1].headers['if-none-match']);
  appendFileSync(path, 'x');
  await fetchFile(url, options);
  assert.equal(server.requests[2].headers['if-none-match'], undefined);
  assert.deepEqual(readFileSync(path), file);
  const same = Buffer.from(file);
  same[0] ^= 1;
  writeFileSync(path, same);
  await fetchFile(url, options);
  assert.deepEqual(readFileSync(path), file);
  const moved = emptyCache();
  cpSync(options.cache, moved, { recursive: true });
  await server.close();
  const elsewhere = await fetchFile(url, { ...options, cache: moved, sha256: sha256Of(file) });
  assert.ok(elsewhere.startsWith(moved));
});

test('a connection that is cut goes on where it ended, in the same call', async () => {
  const file = content(200_000);
  const { server, url, options } = await setUp(file);
  const etag = `"${sha256Of(file).slice(0, 20)}"`;
  server.handle((request, response, count) =>
    count === 0 ? sendStart(file, 120_000, response) : sendFile(file, request, response),
  );
  const progress: number[] = [];
  const path = await fetchFile(url, {
    ...options,
    onProgress: cutOnce(server, ({ received }) => progress.push(received)),
  });
  assert.deepEqual(readFileSync(path), file);
  assert.equal(server.requests.length, 2);
  assert.equal(server.requests[1].headers['if-range'], etag);
  const from = Number(/^bytes=(\d+)-$/.exec(server.requests[1].headers.range ?? '')?.[1]);
  assert.ok(from > 0 && from <= 120_000, `${from}`);
  assert.ok(progress.includes(from));
  assert.deepEqual(left(options.cache), []);
});

test('… and in a later call', async () => {
  const file = content(200_000);
  const { server, url, options } = await setUp(file);
  server.handle((_, response) => sendStart(file, 120_000, response));
  await fails(
    fetchFile(url, { ...options, retries: 0, onProgress: cutOnce(server) }),
    /cannot fetch .*the connection broke/,
    /\d+ bytes are kept, and the next attempt goes on from there/,
  );
  assert.deepEqual(kept(options.cache), []);
  server.handle((request, response) => sendFile(file, request, response));
  assert.deepEqual(readFileSync(await fetchFile(url, options)), file);
  assert.match(server.requests[1].headers.range ?? '', /^bytes=[1-9]/);
  assert.deepEqual(left(options.cache), []);
});

/** What a server may do when it is asked for the rest of a file of which the first part has come, and what the file must be then. */
const RESUMED: Readonly<
  Record<
    string,
    (old: Buffer, young: Buffer) => { readonly file: Buffer; readonly spoil: (request: IncomingMessage) => void }
  >
> = {
  'the file has changed meanwhile': (_, young) => ({ file: young, spoil: () => undefined }),
  'the file has changed, and the server does not look at If-Range': (_, young) => ({
    file: young,
    spoil: ({ headers }) => delete headers['if-range'],
  }),
  'the file has become shorter than what has come': (_, young) => ({
    file: young.subarray(0, 10),
    spoil: ({ headers }) => delete headers['if-range'],
  }),
  'the server knows no ranges': (old) => ({ file: old, spoil: ({ headers }) => delete headers.range }),
  'the server sends another part': (old) => ({
    file: old,
    spoil: ({ headers }) => {
      if (headers.range !== undefined) headers.range = 'bytes=5-';
    },
  }),
};
for (const [name, make] of Object.entries(RESUMED)) {
  test(`resuming: ${name}`, async () => {
    const old = content(200_000, 1);
    const { server, url, options } = await setUp(old);
    server.handle((_, response) => sendStart(old, 120_000, response));
    await fails(fetchFile(url, { ...options, retries: 0, onProgress: cutOnce(server) }), /are kept/);
    const { file, spoil } = make(old, content(190_000, 2));
    server.handle((request, response) => {
      spoil(request);
      sendFile(file, request, response);
    });
    assert.deepEqual(readFileSync(await fetchFile(url, options)), file);
    assert.deepEqual(left(options.cache), []);
  });
}

test('what was left of a file and damaged since is found out by its hash, and fetched whole', async () => {
  const file = content(200_000);
  const { server, url, options } = await setUp(file);
  server.handle((_, response) => sendStart(file, 120_000, response));
  await fails(fetchFile(url, { ...options, retries: 0, onProgress: cutOnce(server) }), /are kept/);
  const partial = left(options.cache).find((name) => name.endsWith('content')) as string;
  const at = join(options.cache, 'downloads', 'partial', partial);
  const bytes = readFileSync(at);
  bytes[17] ^= 1;
  writeFileSync(at, bytes);
  server.handle((request, response) => sendFile(file, request, response));
  const path = await fetchFile(url, { ...options, sha256: sha256Of(file) });
  assert.deepEqual(readFileSync(path), file);
  assert.deepEqual(
    server.requests.slice(1).map(({ headers }) => headers.range?.slice(0, 6)),
    ['bytes=', undefined],
  );
});

test('without a strong tag nothing is left to go on with', async () => {
  for (const etag of ['', 'W/"weak"']) {
    const file = content(200_000);
    const { server, url, options } = await setUp(file);
    server.handle((request, response, count) =>
      count === 0 ? sendStart(file, 120_000, response, etag) : sendFile(file, request, response, etag || '"other"'),
    );
    assert.deepEqual(readFileSync(await fetchFile(url, { ...options, onProgress: cutOnce(server) })), file);
    assert.equal(server.requests[1].headers.range, undefined);
  }
});

test('another content than the sha256 says is not kept', async () => {
  const file = content(5000);
  const { url, options } = await setUp(file);
  const expected = 'ab'.repeat(32);
  await fails(
    fetchFile(url, { ...options, sha256: expected }),
    new RegExp(`its sha256 is ${sha256Of(file)}, expected ${expected}; it is not kept`),
  );
  assert.deepEqual([...kept(options.cache), ...left(options.cache)], []);
  // Nor is what lies in the cache taken for it.
  const path = await fetchFile(url, options);
  await fails(fetchFile(url, { ...options, sha256: expected }), /expected abab/);
  assert.equal(await fetchFile(url, { ...options, sha256: sha256Of(file).toUpperCase() }), path);
});

test('a connection that always ends too early is an error, with how much came', async () => {
  const file = content(50_000);
  const { server, url, options } = await setUp(file);
  server.handle((_, response) => sendStart(file, 20_000, response, ''));
  const onProgress = ({ received }: FetchProgress): void => {
    if (received > 0) server.cut();
  };
  await fails(
    fetchFile(url, { ...options, retries: 1, onProgress }),
    /the connection broke/,
    /given up after 2 attempts/,
  );
  assert.equal(server.requests.length, 2);
  // A length of the whole that no part ever reaches
  server.handle((request, response) => {
    const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
    const rest = file.subarray(from, from + 10_000);
    response.setHeader('etag', '"a"');
    if (from === 0) return sendStart(file, 10_000, response, '"a"');
    response.writeHead(206, { 'content-range': `bytes ${from}-59999/60000`, 'content-length': rest.length }).end(rest);
  });
  await fails(
    fetchFile(url, { ...options, retries: 9, onProgress: cutOnce(server) }),
    /the connection ended after 50000 of 60000 bytes/,
  );
  assert.deepEqual(kept(options.cache), []);
});

test('a connection on which nothing comes any more is given up', async () => {
  const file = content(50_000);
  const { server, url, options } = await setUp(file);
  server.handle((request, response, count) => {
    if (count > 0) return sendFile(file, request, response);
    response.writeHead(200, { 'content-length': file.length, etag: `"${sha256Of(file).slice(0, 20)}"` });
    response.write(file.subarray(0, 1000)); // and then nothing
  });
  assert.deepEqual(readFileSync(await fetchFile(url, { ...options, timeout: 0.3, retries: 9 })), file);
  assert.ok(server.requests.length > 1);
  server.handle(() => undefined);
  await fails(
    fetchFile(`${url}2`, { ...options, timeout: 0.1, retries: 0 }),
    /cannot fetch .*nothing has come for 0.1 s/,
  );
});

test('servers that are busy are asked again, when they say', async () => {
  const file = content(5000);
  const { server, url, options } = await setUp(file);
  const trouble = [500, 502, 503, 429];
  server.handle((request, response, count) => {
    if (count >= trouble.length) return sendFile(file, request, response);
    const soon = count === 1 ? '0' : count === 3 ? new Date(Date.now()).toUTCString() : undefined;
    response.writeHead(trouble[count], soon === undefined ? {} : { 'retry-after': soon }).end('no');
  });
  assert.deepEqual(readFileSync(await fetchFile(url, { ...options, retries: 4 })), file);
  server.handle((_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
  await fails(fetchFile(`${url}2`, options), /429 Too Many Requests; the server asks to come back in 3600 s/);
  server.handle((_, response) => response.writeHead(500).end());
  server.requests.length = 0;
  await fails(fetchFile(`${url}2`, { ...options, retries: 2 }), /500 Internal Server Error; given up after 3 attempts/);
  assert.equal(server.requests.length, 3);
});

test('what the server refuses is said in words, and asked once', async () => {
  const cases: readonly (readonly [number, string | undefined, RegExp])[] = [
    [404, undefined, /net\.onnx: there is no such file \(404 Not Found\)/],
    [401, undefined, /a token is needed; give it with the option "token" \(401/],
    [401, 'secret', /the token in the option "token" is not accepted \(401/],
    [403, undefined, /access is refused; if a token gives it, set the option "token" \(403 Forbidden\)/],
    [403, 'secret', /the token does not give access to it \(403/],
    [418, undefined, /the server does not send it \(418/],
    [206, undefined, /answered 206 although the whole file was asked for/],
  ];
  const { server, url, options } = await setUp(content(10));
  for (const [status, token, pattern] of cases) {
    server.requests.length = 0;
    server.handle((_, response) => response.writeHead(status).end('page'));
    await fails(fetchFile(url, { ...options, token }), pattern);
    assert.equal(server.requests.length, 1);
  }
  assert.deepEqual([...kept(options.cache), ...left(options.cache)], []);
});

test('https where the server speaks http is said once, not tried again', async () => {
  const { url, options } = await setUp(content(10));
  await fails(
    fetchFile(url.replace('http:', 'https:'), options),
    /cannot fetch https:\/\/.*: [a-z0-9.:]+ does not answer in https; is the port another one\? \(ERR_SSL_\w+\)$/,
  );
});

test('pages and pointers in place of the file are told apart from it', async () => {
  const { server, url, options } = await setUp(content(10));
  server.handle((_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>'));
  await fails(fetchFile(url, options), /a web page came \(text\/html\), not a file/);
  server.handle((_, response) => response.end('version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n'));
  await fails(fetchFile(url, options), /a pointer of Git LFS, not the file itself/);
  assert.deepEqual([...kept(options.cache), ...left(options.cache)], []);
});

test('a server that compresses although it was asked not to: the file is kept as it was', async () => {
  const file = Buffer.from('model '.repeat(20_000));
  const { server, url, options } = await setUp(file);
  server.handle((request, response) => {
    assert.equal(request.headers['accept-encoding'], 'identity');
    const packed = gzipSync(file);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length, etag: '"z"' }).end(packed);
  });
  assert.deepEqual(readFileSync(await fetchFile(url, { ...options, sha256: sha256Of(file) })), file);
  // Cut short, it is not taken for whole, and not continued: offsets would be those of other bytes.
  server.requests.length = 0;
  server.handle((_, response) => {
    const packed = gzipSync(file);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length, etag: '"z"' });
    response.write(packed.subarray(0, packed.length - 40), () => setTimeout(() => response.socket?.destroy(), 20));
  });
  await fails(fetchFile(`${url}2`, { ...options, retries: 1 }), /the connection broke/);
  assert.equal(server.requests[1].headers.range, undefined);
  assert.deepEqual(left(options.cache), []);
});

test('the token goes to the first server only', async () => {
  const file = content(5000);
  const other = await serve((request, response) => sendFile(file, request, response));
  const { server, url, options } = await setUp(file);
  server.handle((request, response) => {
    if (request.url === '/moved') return sendFile(file, request, response);
    const location = request.url === '/models/net.onnx' ? '/models/2' : `${other.origin}/file`;
    response.writeHead(302, { location }).end('elsewhere');
  });
  assert.deepEqual(readFileSync(await fetchFile(url, { ...options, token: 'secret' })), file);
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.authorization),
    ['Bearer secret', 'Bearer secret'],
  );
  assert.equal(other.requests[0].headers.authorization, undefined);
  // Nor does it come back when the other server sends us back.
  other.handle((_, response) => response.writeHead(307, { location: `${server.origin}/moved` }).end());
  server.requests.length = 0;
  await fetchFile(`${server.origin}/again`, { ...options, token: 'secret' });
  assert.deepEqual(
    server.requests.map(({ url: path, headers }) => [path, headers.authorization]),
    [
      ['/again', 'Bearer secret'],
      ['/moved', undefined],
    ],
  );
});

test('redirections that lead nowhere, in a circle or out of encryption', async () => {
  const { server, url, options } = await setUp(content(10));
  const redirect = (location: string | undefined): void =>
    server.handle((_, response) => response.writeHead(302, location === undefined ? {} : { location }).end());
  redirect(undefined);
  await fails(fetchFile(url, options), /the server redirects to nowhere/);
  redirect(url);
  await fails(fetchFile(url, options), /the server redirects more than 10 times/);
  redirect('http://models.example/net.onnx');
  await assert.rejects(
    fetchFile(url, options),
    /http:\/\/models\.example\/net\.onnx: http:\/\/ is fetched from this machine only/,
  );
  redirect('file:///etc/passwd');
  await assert.rejects(fetchFile(url, options), /file:\/\/ is not fetched/);
});

test('stopping leaves what has come for the next time', async () => {
  const file = content(200_000);
  const { server, url, options } = await setUp(file);
  server.handle((_, response) => {
    response.writeHead(200, { 'content-length': file.length, etag: `"${sha256Of(file).slice(0, 20)}"` });
    response.write(file.subarray(0, 50_000));
  });
  const controller = new AbortController();
  const onProgress = ({ received }: FetchProgress): void => {
    if (received === 50_000) controller.abort(new Error('enough'));
  };
  await assert.rejects(fetchFile(url, { ...options, signal: controller.signal, onProgress }), /^Error: enough$/);
  assert.deepEqual(kept(options.cache), []);
  await assert.rejects(fetchFile(url, { ...options, signal: AbortSignal.abort(new Error('before')) }), /before/);
  server.handle((request, response) => sendFile(file, request, response));
  assert.deepEqual(readFileSync(await fetchFile(url, options)), file);
  assert.equal(server.requests[1].headers.range, 'bytes=50000-');
  // While waiting for the next attempt
  server.handle((_, response) => response.writeHead(503).end());
  const waiting = fetchFile(`${url}2`, { ...options, retryDelay: 500, signal: AbortSignal.timeout(100) });
  await assert.rejects(waiting, { name: 'TimeoutError' });
});

const PROGRAM = `
  import { fetchFile } from ${JSON.stringify(new URL('./fetch-file.js', import.meta.url).href)};
  const [url, cache] = process.argv.slice(1);
  try {
    console.log(await fetchFile(url, { cache, onProgress: ({ received }) => received > 0 && console.log('bytes ' + received) }));
  } catch (error) {
    console.log(error.name + ': ' + error.message);
  }`;

/** Fetches in a process of its own; `onLine` may end it. Returns its last line. */
function fetchElsewhere(
  url: string,
  cache: string,
  onLine: (line: string, kill: () => void) => void = () => {},
  shell = '',
): Promise<string> {
  const args = [
    '-c',
    `${shell} exec "$0" --input-type=module -e "$1" "$2" "$3"`,
    process.execPath,
    PROGRAM,
    url,
    cache,
  ];
  const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const before = text.lastIndexOf('\n') + 1;
    text += chunk;
    for (const line of text.slice(before).split('\n').slice(0, -1)) onLine(line, () => child.kill('SIGKILL'));
  });
  return new Promise((resolve) => {
    child.on('close', () => resolve(text.trim().split('\n').at(-1) ?? ''));
  });
}

const skip = process.platform === 'win32' && 'needs sh';

test('two processes that fetch the same file at once both get it', { skip }, async () => {
  const file = content(400_000);
  const { server, url, options } = await setUp(file);
  const waiting: (() => void)[] = [];
  server.handle((request, response) => {
    // Both have begun before either ends.
    response.writeHead(200, { 'content-length': file.length, etag: '"a"' });
    response.write(file.subarray(0, 100_000));
    waiting.push(() => response.end(file.subarray(100_000)));
    if (waiting.length === 2) for (const go of waiting) go();
    assert.equal(request.headers.range, undefined);
  });
  const paths = await Promise.all([fetchElsewhere(url, options.cache), fetchElsewhere(url, options.cache)]);
  assert.equal(paths[0], paths[1]);
  assert.deepEqual(readFileSync(paths[0]), file);
  assert.equal(kept(options.cache).length, 1);
  assert.deepEqual(left(options.cache), []);
});

test('what a killed process has fetched is not lost', { skip }, async () => {
  const file = content(400_000);
  const { server, url, options } = await setUp(file);
  server.handle((_, response) => {
    response.writeHead(200, { 'content-length': file.length, etag: `"${sha256Of(file).slice(0, 20)}"` });
    response.write(file.subarray(0, 100_000));
  });
  await fetchElsewhere(url, options.cache, (line, kill) => {
    if (line === 'bytes 100000') kill();
  });
  server.handle((request, response) => sendFile(file, request, response));
  assert.deepEqual(readFileSync(await fetchFile(url, options)), file);
  assert.match(server.requests[1].headers.range ?? '', /^bytes=100000-/);
  assert.deepEqual(left(options.cache), []);
});

test('a disk that takes no more, and a cache that cannot be written', { skip }, async () => {
  const file = content(2 ** 20);
  const { url, options } = await setUp(file);
  // At most 64 blocks of 512 (or 1024) bytes per file
  const message = await fetchElsewhere(url, options.cache, undefined, 'ulimit -f 64;');
  assert.match(
    message,
    /^FileError: cannot keep http.*net\.onnx in .*: the file would be larger than the system allows \(EFBIG\)/,
  );
  assert.deepEqual(kept(options.cache), []);
  rmSync(options.cache, { recursive: true });
  writeFileSync(options.cache, 'a file where the folder should be');
  await fails(fetchFile(url, options), /cannot make this folder: (a part of the path is not a folder|there is a file)/);
  rmSync(options.cache);
});
