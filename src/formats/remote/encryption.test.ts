import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileError } from '../../tensor/errors.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { sendFile, serve } from '../../testing/file-server.js';
import { fetchFile } from './fetch-file.js';

const folder = temporaryFolder();
const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
const made = spawnSync('openssl', [
  ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
  ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', keyFile, '-out', certificateFile],
]);
const skip = made.status !== 0 && 'openssl is not there';

test('certificates of nobody, and redirections out of encryption', { skip }, async () => {
  const file = Buffer.from('content');
  const plain = await serve((request, response) => sendFile(file, request, response));
  const server = createServer(
    { key: readFileSync(keyFile), cert: readFileSync(certificateFile) },
    (request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: `${plain.origin}/file` }).end();
      else sendFile(file, request, response);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  const options = { cache: join(folder, 'cache'), retryDelay: 0.001 };
  const fails = (path: string, pattern: RegExp): Promise<void> =>
    assert.rejects(fetchFile(`${origin}${path}`, options), (error: Error) => {
      assert.ok(error instanceof FileError, error.stack);
      assert.match(error.message, pattern);
      return true;
    });
  try {
    await fails('/file', /cannot fetch https:.*the server's certificate is not valid: .*self.signed/);
    // From here on this process believes every certificate.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    assert.deepEqual(readFileSync(await fetchFile(`${origin}/file`, options)), file);
    await fails('/moved', /the server redirects to http:\/\/localhost:\d+\/file, which is not encrypted/);
    assert.equal(plain.requests.length, 0);
    await fetchFile(`${origin}/moved`, { ...options, allowHttp: true });
    assert.equal(plain.requests.length, 1);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
