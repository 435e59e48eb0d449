import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { FileError } from '../../tensor/errors.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { type FileServer, sendFile, sendStart, serve, sha256Of } from '../../testing/file-server.js';
import { type FetchFileOptions, type FetchProgress, fetchFile, siblingsOf } from './fetch-file.js';

const root = temporaryFolder();
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const file = Buffer.from('weights '.repeat(20_000));

// The hub on one server, as HF_ENDPOINT names it; large files on another one.
const storage: FileServer = await serve((request, response) => sendFile(file, request, response, '"storage"'));
const hub: FileServer = await serve(() => undefined);
process.env.HF_ENDPOINT = hub.origin;
process.env.HF_TOKEN = 'hf_secret';
let options: FetchFileOptions & { cache: string };

/** What the hub says of a large file. */
function sendLink(response: Parameters<Parameters<typeof serve>[0]>[1], hash: string, size: number): void {
  response.setHeader('x-linked-etag', `"${hash}"`).setHeader('x-linked-size', size).setHeader('x-repo-commit', COMMIT);
  response.writeHead(302, { location: `${storage.origin}/blob/${hash}` }).end('Found');
}

beforeEach(() => {
  options = { cache: mkdtempSync(join(root, 'cache-')), retryDelay: 0.001 };
  for (const { requests } of [hub, storage]) requests.length = 0;
  hub.handle((_, response) => sendLink(response, sha256Of(file), file.length));
  storage.handle((request, response) => sendFile(file, request, response, '"storage"'));
});

test('a large file: the hub gets the token and says the hash, another server sends the content', async () => {
  const path = await fetchFile('hf://owner/name/onnx/model.onnx', options);
  assert.deepEqual(readFileSync(path), file);
  assert.match(path, /[\\/]model\.onnx$/);
  assert.equal(hub.requests[0].url, '/owner/name/resolve/main/onnx/model.onnx');
  assert.equal(hub.requests[0].headers.authorization, 'Bearer hf_secret');
  assert.equal(storage.requests[0].headers.authorization, undefined);
  // The hub says the same hash again: nothing else is asked.
  assert.equal(await fetchFile('hf://owner/name/onnx/model.onnx', options), path);
  assert.deepEqual([hub.requests.length, storage.requests.length], [2, 1]);
  // The token belongs to the hub alone.
  await fetchFile(`${storage.origin}/other`, options);
  assert.equal(storage.requests[1].headers.authorization, undefined);
});

test('names, revisions and kinds of repositories', async () => {
  const paths: Readonly<Record<string, string>> = {
    'hf://o/n/a b/ü.bin': '/o/n/resolve/main/a%20b/%C3%BC.bin',
    'hf://o/n/model.onnx@v1.0': '/o/n/resolve/v1.0/model.onnx',
    'hf://o/n/model.onnx@refs/pr/3': '/o/n/resolve/refs%2Fpr%2F3/model.onnx',
    'hf://o/n@refs%2Fpr%2F3/model.onnx': '/o/n/resolve/refs%2Fpr%2F3/model.onnx',
    'hf://o/n@v1.0/odd@name.onnx': '/o/n/resolve/v1.0/odd%40name.onnx',
    'hf://datasets/o/n/train.npz': '/datasets/o/n/resolve/main/train.npz',
  };
  for (const [address, path] of Object.entries(paths)) {
    hub.requests.length = 0;
    assert.deepEqual(readFileSync(await fetchFile(address, options)), file, address);
    assert.equal(hub.requests[0].url, path);
  }
});

test('a commit never changes: it is not asked for again', async () => {
  for (const address of [`hf://o/n/model.onnx@${COMMIT}`, `${hub.origin}/o/n/resolve/${COMMIT}/other.onnx`]) {
    const path = await fetchFile(address, options);
    const before = hub.requests.length;
    assert.equal(await fetchFile(address, options), path);
    assert.equal(hub.requests.length, before);
    await assert.rejects(
      fetchFile(address, { ...options, sha256: '0'.repeat(64) }),
      /its sha256 is [0-9a-f]{64}, expected 0000/,
    );
  }
});

test('content that is not what the hub says is not kept', async () => {
  const other = Buffer.from(file);
  other[5] ^= 1;
  storage.handle((request, response) => sendFile(other, request, response));
  await assert.rejects(fetchFile('hf://o/n/model.onnx', options), (error: Error) => {
    assert.ok(error instanceof FileError);
    assert.match(
      error.message,
      new RegExp(`its sha256 is ${sha256Of(other)}, expected ${sha256Of(file)}; it is not kept`),
    );
    return true;
  });
  // Sizes that do not agree are found before anything is fetched, without one while it comes.
  hub.handle((_, response) => sendLink(response, sha256Of(file), file.length - 1));
  await assert.rejects(fetchFile('hf://o/n/model.onnx', options), /should have 159999 bytes, but 160000 are sent/);
  storage.handle((_, response) => response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(file));
  await assert.rejects(fetchFile('hf://o/n/model.onnx', options), /should have 159999 bytes, but more are sent/);
  storage.requests.length = 0;
  await assert.rejects(fetchFile('hf://o/n/model.onnx', { ...options, sha256: '0'.repeat(64) }), /expected 0000/);
  assert.equal(storage.requests.length, 0);
});

/** Cuts the connections to where large files lie once, when bytes have come. */
function cutOnce(): (progress: FetchProgress) => void {
  let done = false;
  return ({ received }) => {
    if (!done && received > 0) storage.cut();
    done ||= received > 0;
  };
}

test('resumed from where it lies, unless the hub has another file meanwhile', async () => {
  const cut = (): void =>
    storage.handle((request, response) =>
      request.headers.range === undefined
        ? sendStart(file, 90_000, response, '"storage"')
        : sendFile(file, request, response, '"storage"'),
    );
  cut();
  assert.deepEqual(readFileSync(await fetchFile('hf://o/n/model.onnx', { ...options, onProgress: cutOnce() })), file);
  assert.match(storage.requests[1].headers.range ?? '', /^bytes=[1-9]/);
  const young = Buffer.from('new '.repeat(50_000));
  cut();
  await assert.rejects(fetchFile('hf://o/n/two.onnx', { ...options, retries: 0, onProgress: cutOnce() }), /are kept/);
  hub.handle((_, response) => sendLink(response, sha256Of(young), young.length));
  // The tag is the same, by accident: the hash tells.
  storage.handle((request, response) => sendFile(young, request, response, '"storage"'));
  assert.deepEqual(readFileSync(await fetchFile('hf://o/n/two.onnx', options)), young);
});

test('what the hub refuses', async () => {
  const cases: readonly (readonly [number, string, RegExp])[] = [
    [404, 'EntryNotFound', /owner\/name has no file "a\.onnx" at revision "main" \(404/],
    [404, 'RevisionNotFound', /owner\/name has no revision "main" \(404/],
    [401, 'RepoNotFound', /no repository owner\/name, or it is private and the token does not open it \(401/],
    [
      403,
      'GatedRepo',
      /owner\/name is for those who ask: do so on http:\/\/localhost:\d+\/owner\/name, and set HF_TOKEN/,
    ],
    [401, '', /the token in HF_TOKEN is not accepted/],
  ];
  for (const [status, code, pattern] of cases) {
    hub.handle((_, response) => response.writeHead(status, { 'x-error-code': code }).end());
    await assert.rejects(fetchFile('hf://owner/name/a.onnx', options), (error: Error) => {
      assert.ok(error instanceof FileError);
      assert.match(error.message, pattern);
      return true;
    });
  }
});

test('a later file of the same repository lies beside the first one', async () => {
  const first = await fetchFile('hf://o/n/model.onnx@v2', options);
  const sibling = siblingsOf('hf://o/n/model.onnx@v2', { ...options, sha256: sha256Of(file) });
  assert.equal(await sibling('data/weights 1.bin'), join(first, '..', 'data', 'weights 1.bin'));
  assert.equal(hub.requests[1].url, '/o/n/resolve/v2/data/weights%201.bin');
  // However often readers ask, it is fetched once; what failed is tried again.
  hub.requests.length = 0;
  await Promise.all(Array.from({ length: 5 }, () => sibling('data/two.bin')));
  assert.equal(hub.requests.length, 1);
  hub.handle((_, response) => response.writeHead(404).end());
  await assert.rejects(sibling('three.bin'), /no such file/);
  hub.handle((_, response) => sendLink(response, sha256Of(file), file.length));
  await sibling('three.bin');
  assert.equal(await fetchFile('hf://o/n/other.onnx@v2', options), join(first, '..', 'other.onnx'));
  assert.notEqual(await fetchFile('hf://o/n/model.onnx@v3', options), first);
});
