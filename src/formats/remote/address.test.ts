import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileError, OptionError } from '../../tensor/errors.js';
import { isRemote, parseAddress, siblingAddress } from './address.js';

test('what is on the net, and what on this machine', () => {
  for (const url of ['https://a.b/c', 'http://localhost/c', 'hf://o/n/f', 'ftp://a/b', 'HTTPS://A/b'])
    assert.ok(isRemote(url), url);
  for (const path of ['model.onnx', '/a/b', 'C:\\a\\b', 'C:/a', 'c://a', './https:/a', 'file:///a/b', 'a:b'])
    assert.ok(!isRemote(path), path);
});

test('addresses that are refused', () => {
  const cases: Readonly<Record<string, RegExp>> = {
    'http://models.example/a.onnx': /http:\/\/ is fetched from this machine only.*allowHttp/,
    'http://127.0.0.1.example/a': /from this machine only/,
    'ftp://a.b/c': /ftp:\/\/ is not fetched; expected https:\/\/…, or hf:\/\/owner/,
    'https://': /"https:\/\/" is no address/,
    'https://user:secret@a.b/c':
      /^https:\/\/a\.b\/c: a name and password in an address are not supported; use the option "token"$/,
    'https://a.b/models/': /https:\/\/a\.b\/models\/: this names a folder/,
    'hf://owner/name':
      /"hf:\/\/owner\/name" names no file of the Hugging Face Hub; expected hf:\/\/owner\/name\/file\[@revision\]/,
    'hf://owner/name/': /names no file/,
    'hf://owner/name/file@': /names no file/,
  };
  for (const [url, pattern] of Object.entries(cases)) {
    assert.throws(
      () => parseAddress(url, false),
      (error: Error) => error instanceof OptionError && pattern.test(error.message),
      url,
    );
  }
});

test('unencrypted from this machine, or where it is allowed', () => {
  for (const host of ['localhost:80', '127.0.0.1:8080', '[::1]', 'a.localhost'])
    parseAddress(`http://${host}/a`, false);
  parseAddress('http://models.example/a.onnx', true);
});

test('places in the cache: one folder for what lies beside each other, names that every system takes', () => {
  const at = (url: string): string => {
    const { folder, path } = parseAddress(url, false);
    return `${folder}/${path}`;
  };
  const folderOf = (url: string): string => parseAddress(url, false).folder;
  assert.equal(folderOf('https://a.b/x/1.bin'), folderOf('https://a.b/x/2.bin#part'));
  assert.equal(
    new Set(['https://a.b/x/1', 'https://a.b/y/1', 'https://a.b:444/x/1', 'https://a.b/x/1?v=2'].map(folderOf)).size,
    4,
  );
  assert.match(at('https://a.b:444/x/my%20model.onnx'), /^a\.b_444-[0-9a-f]{16}\/my model\.onnx$/);
  const names: Readonly<Record<string, RegExp>> = {
    '%2e%2e%2fpasswd': /^\.\._passwd$/,
    'a%5Cb%3Ac%00': /^a_b_c_$/,
    '%zz': /^%zz$/,
    'NUL.onnx': /^_NUL\.onnx$/,
    'ends.': /^ends_$/,
    [`${'a'.repeat(300)}.safetensors`]: /^[0-9a-f]{16}\.safetensors$/,
  };
  for (const [name, pattern] of Object.entries(names))
    assert.match(parseAddress(`https://a.b/${name}`, false).path, pattern);
  // Secrets in a query are in no message and no name.
  const signed = parseAddress('https://a.b/m.onnx?signature=secret', false);
  assert.equal(signed.shown, 'https://a.b/m.onnx');
  assert.doesNotMatch(`${signed.folder} ${signed.path} ${signed.key}`, /secret/);
});

test('siblings lie below the folder, with the same query', () => {
  const first = parseAddress('https://a.b/x/model.json?v=2', false);
  const sibling = siblingAddress(first, 'shards/1 of 2.bin');
  assert.equal(sibling.url.href, 'https://a.b/x/shards/1%20of%202.bin?v=2');
  assert.deepEqual([sibling.folder, sibling.path], [first.folder, 'shards/1 of 2.bin']);
  assert.notEqual(sibling.key, first.key);
  for (const name of ['../a', 'a/../../b', '/etc/passwd', '', 'a//b', './a', 'a\\b', 'C:/a', 'https://c.d/e', 'a\0']) {
    assert.throws(
      () => siblingAddress(first, name),
      (error: Error) => error instanceof FileError && /cannot lie beside it; refused/.test(error.message),
      name,
    );
  }
});
