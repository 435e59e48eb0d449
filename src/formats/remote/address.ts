import { environmentVariable, sha256 } from '../../runtime/host.js';
import { FileError, OptionError } from '../../tensor/errors.js';

/** A file on the net, and its place in the cache. */
export interface Address {
  /** What is asked for. */
  readonly url: URL;
  /** For people: without the query, which may hold secrets. */
  readonly shown: string;
  /** Whether what is there never changes: a commit of the hub. */
  readonly fixed: boolean;
  /** The cache's folder for everything that lies beside the file on the net. */
  readonly folder: string;
  /** In this folder, with `/`. */
  readonly path: string;
  /** Distinguishes it from all other files in the cache. */
  readonly key: string;
}

const FORMS = 'https://…, or hf://owner/name/file[@revision] for the Hugging Face Hub';

/** Whether a text names a file on the net rather than one on this machine. */
export function isRemote(source: string): boolean {
  // A drive's letter on Windows has no two slashes.
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(source) && !/^file:/i.test(source);
}

/**
 * @param allowHttp whether requests may go to other machines unencrypted
 * @throws OptionError for what is no address, or none that is fetched
 */
export function parseAddress(source: string, allowHttp: boolean): Address {
  const url = /^hf:\/\//i.test(source) ? hubUrl(source) : parseUrl(source);
  if (url.username !== '' || url.password !== '') {
    throw new OptionError(
      `${shownUrl(url)}: a name and password in an address are not supported; use the option "token"`,
    );
  }
  checkScheme(url, allowHttp);
  const name = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  if (name === '') throw new OptionError(`${shownUrl(url)}: this names a folder; the address of a file is needed`);
  url.hash = '';
  return place(url, url, safeName(decoded(name)));
}

/** The address of a file beside another one. */
export function siblingAddress({ url, shown }: Address, name: string): Address {
  const parts = name.split('/');
  if (parts.some((part) => part === '' || safeName(part) !== part)) {
    throw new FileError(`${shown}: a file ${JSON.stringify(name)} cannot lie beside it; refused`);
  }
  const sibling = new URL(url);
  const path = url.pathname;
  sibling.pathname = path.slice(0, path.lastIndexOf('/') + 1) + parts.map(encodeURIComponent).join('/');
  return place(url, sibling, name);
}

/** @throws OptionError where a request would go over the net unencrypted, or not by HTTP at all */
export function checkScheme(url: URL, allowHttp: boolean): void {
  if (url.protocol === 'https:') return;
  if (url.protocol !== 'http:')
    throw new OptionError(`${shownUrl(url)}: ${url.protocol}// is not fetched; expected ${FORMS}`);
  if (allowHttp || isThisMachine(url.hostname)) return;
  throw new OptionError(
    `${shownUrl(url)}: http:// is fetched from this machine only, since others could change the file on its way; use https://, or the option allowHttp`,
  );
}

/** Where the Hugging Face Hub is: HF_ENDPOINT, or its own site. */
export function hubEndpoint(): URL {
  const text = environmentVariable('HF_ENDPOINT') || 'https://huggingface.co';
  if (!URL.canParse(text))
    throw new OptionError(`HF_ENDPOINT must be an address such as https://huggingface.co, got "${text}"`);
  return new URL(text);
}

/** A repository of the hub, as far as an address tells. */
export function hubRepository(
  url: URL,
): { readonly name: string; readonly revision: string; readonly file: string } | undefined {
  const endpoint = hubEndpoint();
  if (url.origin !== endpoint.origin) return undefined;
  const found = /^((?:\/(?:datasets|spaces))?\/[^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(
    url.pathname.slice(endpoint.pathname.replace(/\/$/, '').length),
  );
  if (found === null) return undefined;
  return { name: found[1].slice(1), revision: decoded(found[2]), file: decoded(found[3]) };
}

/** An address for people. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function place(first: URL, url: URL, path: string): Address {
  const base = `${first.origin}${first.pathname.slice(0, first.pathname.lastIndexOf('/') + 1)}${first.search}`;
  const folder = `${first.host.replace(/[^a-z0-9.-]/g, '_')}-${sha256(base).slice(0, 16)}`;
  const fixed = /^[0-9a-f]{40}$/.test(hubRepository(url)?.revision ?? '');
  const key = sha256(JSON.stringify([url.href, folder, path])).slice(0, 32);
  return { url, shown: shownUrl(url), fixed, folder, path, key };
}

function parseUrl(source: string): URL {
  if (URL.canParse(source)) return new URL(source);
  throw new OptionError(`"${source}" is no address; expected ${FORMS}`);
}

/** `hf://[datasets/]owner/name/file[@revision]`, and `hf://owner/name@revision/file` as the hub's own tools write it. */
function hubUrl(source: string): URL {
  const [, kind = '', owner, name, inner, rest = ''] =
    /^hf:\/\/((?:datasets|spaces)\/)?([^/@]+)\/([^/@]+)(?:@([^/]+))?\/(.+)$/i.exec(source) ?? [];
  const at = inner === undefined ? rest.lastIndexOf('@') : -1;
  const [file, outer] = at > 0 ? [rest.slice(0, at), rest.slice(at + 1)] : [rest, 'main'];
  if (file === '' || file.endsWith('/') || outer === '') {
    throw new OptionError(
      `"${source}" names no file of the Hugging Face Hub; expected hf://owner/name/file[@revision]`,
    );
  }
  const revision = encodeURIComponent(decoded(inner ?? outer));
  const path = file.split('/').map(encodeURIComponent).join('/');
  const endpoint = hubEndpoint();
  return new URL(`${endpoint.href.replace(/\/$/, '')}/${kind}${owner}/${name}/resolve/${revision}/${path}`);
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that encodes nothing
  }
}

const LONGEST_NAME = 160;

/** A name that every file system takes. */
function safeName(name: string): string {
  let safe = name
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what file systems refuse
    .replace(/[\u0000-\u001f\u007f<>:"|?*\\/]/g, '_')
    .replace(/[. ]+$/, (end) => '_'.repeat(end.length));
  if (/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(safe)) safe = `_${safe}`;
  if (Buffer.byteLength(safe) > LONGEST_NAME)
    safe = `${sha256(safe).slice(0, 16)}${/\.[a-z0-9_]{1,16}$/i.exec(safe)?.[0] ?? ''}`;
  return safe;
}
