import { environmentVariable } from '../../runtime/host.js';
import { FileError } from '../../tensor/errors.js';
import { type Address, checkScheme, hubEndpoint, hubRepository, shownUrl } from './address.js';

/** What may help when an attempt is made again. */
export class PassingError extends Error {
  override name = 'PassingError';
  /** Nobody answers: there is no connection, or no such server. */
  readonly offline: boolean;
  /** What the server asks to wait for, in milliseconds. */
  readonly wait: number | undefined;

  constructor(message: string, facts: { cause?: unknown; offline?: boolean; wait?: number } = {}) {
    super(message, { cause: facts.cause });
    this.offline = facts.offline ?? false;
    this.wait = facts.wait;
  }
}

export interface RequestOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly token: string | undefined;
  readonly allowHttp: boolean;
}

/** What the Hugging Face Hub says of a large file before it sends one to where it lies. */
export interface LinkedFile {
  /** Of the content. */
  readonly sha256: string;
  readonly size: number | undefined;
}

/** The last answer, after all redirections, with its body still to come. */
export interface Answer {
  readonly response: Response;
  readonly linked: LinkedFile | undefined;
  /** Whether the address's own server was shown a token. */
  readonly hadToken: boolean;
}

const REDIRECTIONS: readonly number[] = [301, 302, 303, 307, 308];
const MOST_REDIRECTIONS = 10;
const PASSING: readonly number[] = [408, 425, 429, 500, 502, 503, 504];

/**
 * Sends a GET request and follows redirections. The token goes to the address's own server only, never to one that it redirects to.
 *
 * @param follow asked before each redirection; where it returns false, the redirecting answer is the result
 * @throws PassingError where nobody answers, FileError for redirections that lead nowhere, OptionError for one that is not encrypted
 */
export async function request(
  address: Address,
  options: RequestOptions,
  follow: (linked: LinkedFile | undefined) => boolean,
): Promise<Answer> {
  const token = options.token ?? hubToken(address);
  let url = address.url;
  let trusted = true;
  let linked: LinkedFile | undefined;
  for (let count = 0; ; count++) {
    const headers: Record<string, string> = {
      'user-agent': 'gabor',
      'accept-encoding': 'identity',
      ...options.headers,
    };
    if (trusted && token !== undefined) headers.authorization = `Bearer ${token}`;
    const response = await send(url, headers, options.signal);
    linked ??= linkedFile(response);
    if (!REDIRECTIONS.includes(response.status) || !follow(linked))
      return { response, linked, hadToken: token !== undefined };
    await response.body?.cancel();
    const location = response.headers.get('location');
    if (count === MOST_REDIRECTIONS || location === null || !URL.canParse(location, url.href)) {
      const why = count === MOST_REDIRECTIONS ? `redirects more than ${count} times` : 'redirects to nowhere';
      throw new FileError(`cannot fetch ${address.shown}: the server ${why}`);
    }
    const next = new URL(location, url);
    checkScheme(next, options.allowHttp);
    // Nor do servers elsewhere decide what is asked of this machine.
    if (url.protocol === 'https:' && next.protocol === 'http:' && !options.allowHttp) {
      throw new FileError(
        `cannot fetch ${address.shown}: the server redirects to ${shownUrl(next)}, which is not encrypted`,
      );
    }
    trusted &&= next.origin === url.origin;
    url = next;
  }
}

async function send(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { headers, signal, redirect: 'manual' });
  } catch (error) {
    throw connectionError(error, url, signal);
  }
}

/** HF_TOKEN, for files of the hub. */
function hubToken({ url }: Address): string | undefined {
  return url.origin === hubEndpoint().origin ? environmentVariable('HF_TOKEN')?.trim() || undefined : undefined;
}

function linkedFile({ headers }: Response): LinkedFile | undefined {
  const sha256 = /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(headers.get('x-linked-etag') ?? '')?.[1];
  const size = headers.get('x-linked-size');
  return sha256 === undefined
    ? undefined
    : { sha256, size: size !== null && /^\d+$/.test(size) ? Number(size) : undefined };
}

/** What Node says where no connection comes about, in words. */
const NOBODY: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no server of this name is known',
  EAI_AGAIN: 'the name of the server cannot be looked up; is there a network?',
  ECONNREFUSED: 'the server accepts no connection',
  ENETUNREACH: 'the network cannot be reached',
  EHOSTUNREACH: 'the server cannot be reached',
  ENETDOWN: 'the network is down',
  UND_ERR_CONNECT_TIMEOUT: 'the server does not answer',
  ETIMEDOUT: 'the server does not answer',
};

/** What an exception of `fetch`, or of a body that ends too early, means. */
export function connectionError(error: unknown, url: URL, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const { code = '', message = String((error as Error).message ?? error) } = cause ?? {};
  if (NOBODY[code] !== undefined)
    return new PassingError(`${url.host}: ${NOBODY[code]} (${code})`, { cause: error, offline: true });
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code)) {
    return new FileError(`cannot fetch ${shownUrl(url)}: the server's certificate is not valid: ${message} (${code})`, {
      cause: error,
    });
  }
  // Versions of OpenSSL differ in what they make of an answer in plain text.
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)/.test(code)) {
    return new FileError(
      `cannot fetch ${shownUrl(url)}: ${url.host} does not answer in https; is the port another one? (${code})`,
      { cause: error },
    );
  }
  return new PassingError(`the connection broke: ${message.trim() || code}`, { cause: error });
}

/** What an answer other than the file or a part of it means; undefined also for a part that does not exist. */
export function refusal(address: Address, { response, hadToken: token }: Answer): PassingError | FileError | undefined {
  const { status, statusText, headers } = response;
  if ([200, 206, 416].includes(status)) return undefined;
  const answer = `${status}${statusText === '' ? '' : ` ${statusText}`}`;
  if (PASSING.includes(status)) {
    return new PassingError(`the server answered ${answer}`, { wait: retryAfter(headers.get('retry-after')) });
  }
  const say = (text: string): FileError => new FileError(`cannot fetch ${address.shown}: ${text} (${answer})`);
  const hub = hubRepository(address.url);
  const code = headers.get('x-error-code');
  if (hub !== undefined && code === 'EntryNotFound')
    return say(`${hub.name} has no file "${hub.file}" at revision "${hub.revision}"`);
  if (hub !== undefined && code === 'RevisionNotFound') return say(`${hub.name} has no revision "${hub.revision}"`);
  if (hub !== undefined && code === 'RepoNotFound') {
    return say(
      `there is no repository ${hub.name}, or it is private and ${token ? 'the token does not open it' : 'needs a token in HF_TOKEN'}`,
    );
  }
  if (hub !== undefined && code === 'GatedRepo') {
    return say(
      `${hub.name} is for those who ask: do so on ${hubEndpoint().origin}/${hub.name}, and set HF_TOKEN to your token`,
    );
  }
  const how = hub !== undefined ? 'HF_TOKEN' : 'the option "token"';
  if (status === 401)
    return say(token ? `the token in ${how} is not accepted` : `a token is needed; give it with ${how}`);
  if (status === 403)
    return say(token ? 'the token does not give access to it' : `access is refused; if a token gives it, set ${how}`);
  if (status === 404 || status === 410) return say('there is no such file');
  return say('the server does not send it');
}

/** Seconds, or a date. */
function retryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  const wait = /^\d+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
