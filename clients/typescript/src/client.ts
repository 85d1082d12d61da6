/** The client: sends requests, repeats them safely, and turns problem documents into errors. */
import { ConfigurationError, ConnectionFailedError, MalformedReplyError, UnsendableError, readError } from "./errors.ts";
import type { ApiError } from "./errors.ts";
import type { CallOptions, Item, ListPath, Method, OptionsArgument, PathOf, Reply, Schemas } from "./operation.ts";
import { DEFAULT_RETRIES, computeWait, isRetried, mayHaveArrived, wait } from "./retry.ts";
import type { RetryPolicy } from "./retry.ts";

export const VERSION = "0.1.0";

const DEFAULT_TIMEOUT_MS = 30_000;
/** An id, a slug, or the name of a layout file: nothing that could change the path. */
const SEGMENT = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?$/;
const REPEATABLE: ReadonlySet<Method> = new Set(["get", "put", "delete"]);

export interface NotifierOptions {
  /** The URL of the API; otherwise the variable `NOTIFIER_URL`. */
  url?: string;
  /** The API key; otherwise the variable `NOTIFIER_API_KEY`. */
  key?: string;
  /** Milliseconds for one attempt. */
  timeoutMs?: number;
  retries?: Partial<RetryPolicy>;
  /** Another implementation of fetch. */
  fetch?: typeof fetch;
}

export interface SendOptions {
  /** Your own key, such as the id of an order, also works after your program was killed; by default a random one. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** An accepted notification: it is committed. */
export type Sent = Schemas["AcceptedOut"] & {
  /** True: an earlier request with this key was accepted; there is one mail. */
  replayed: boolean;
};

interface Options {
  path?: Record<string, string | number>;
  query?: Record<string, unknown>;
  body?: unknown;
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** A client of the API. Create one and keep it. */
export class Notifier {
  readonly #url: string;
  readonly #key: string;
  readonly #timeoutMs: number;
  readonly #retries: RetryPolicy;
  readonly #fetch: typeof fetch;

  constructor(options: NotifierOptions = {}) {
    this.#url = checkUrl(options.url || readVariable("NOTIFIER_URL"));
    this.#key = checkKey(options.key || readVariable("NOTIFIER_API_KEY"));
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#retries = { ...DEFAULT_RETRIES, ...options.retries };
    this.#fetch = options.fetch ?? fetch;
  }

  /** Submit a notification. When the promise resolves, it is committed. */
  async send(notification: Schemas["NotificationIn"], options: SendOptions = {}): Promise<Sent> {
    const request = { ...options, body: notification, idempotencyKey: options.idempotencyKey ?? crypto.randomUUID() };
    return this.#exchange("post", "/v1/notifications", request, async (response) => {
      const accepted = (await readJson(response)) as Schemas["AcceptedOut"];
      return { ...accepted, replayed: response.headers.get("idempotent-replayed") === "true" };
    });
  }

  /** Submit up to 5,000 notifications. */
  sendBatch(batch: Schemas["BatchShownIn"], options: SendOptions = {}): Promise<Reply<"post", "/v1/notifications/batch">> {
    const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID();
    return this.call("post", "/v1/notifications/batch", { ...options, body: batch, idempotencyKey });
  }

  /** Get a notification with its attempts. */
  get(id: string): Promise<Schemas["NotificationWithAttemptsOut"]> {
    return this.call("get", "/v1/notifications/{notification_id}", { path: { notification_id: id } });
  }

  /** Call any operation of the API, and return the JSON of its reply. */
  call<M extends Method, P extends PathOf<M>>(
    method: M,
    path: P,
    ...[options]: OptionsArgument<CallOptions<M, P>>
  ): Promise<Reply<M, P>> {
    return this.#exchange(method, path, (options ?? {}) as Options, readJson) as Promise<Reply<M, P>>;
  }

  /** Call any operation, and return its response as soon as its header is there: for files and event streams. */
  request<M extends Method, P extends PathOf<M>>(
    method: M,
    path: P,
    ...[options]: OptionsArgument<CallOptions<M, P>>
  ): Promise<Response> {
    return this.#exchange(method, path, (options ?? {}) as Options, async (response) => response);
  }

  /** Iterate over the entries of all pages of a list. */
  async *list<P extends ListPath>(path: P, ...[options]: OptionsArgument<CallOptions<"get", P>>): AsyncGenerator<Item<P>> {
    const given = (options ?? {}) as Options;
    const cursor = path.endsWith("/faults") ? "after" : "before";
    let query = given.query ?? {};
    while (true) {
      const page = await this.#exchange("get", path, { ...given, query }, readPage);
      yield* page.items as Item<P>[];
      if (page.next === null || page.next === query[cursor]) return;
      query = { ...query, [cursor]: page.next };
    }
  }

  async #exchange<T>(method: Method, path: string, options: Options, read: (response: Response) => Promise<T>): Promise<T> {
    const url = this.#url + fillPath(path, options.path ?? {}) + buildQuery(options.query ?? {});
    const request = this.#buildRequest(method, options);
    const repeatable = REPEATABLE.has(method) || options.idempotencyKey !== undefined;
    const started = performance.now();
    let maybeDone = false;
    for (let made = 1; ; made++) {
      const outcome = await this.#attempt(url, request, options.signal, started, read);
      if ("value" in outcome) return outcome.value;
      let retried = "reply" in outcome && isRetried(outcome.reply, repeatable);
      if ("failure" in outcome) {
        const arrived = mayHaveArrived(outcome.failure);
        maybeDone ||= arrived;
        retried = repeatable || !arrived;
      }
      const retryAfterMs = "reply" in outcome ? outcome.reply.retryAfterMs : undefined;
      const elapsedMs = performance.now() - started;
      const waitMs = retried ? computeWait(this.#retries, made, elapsedMs, retryAfterMs) : undefined;
      if (waitMs === undefined) {
        if ("reply" in outcome) throw outcome.reply;
        throw new ConnectionFailedError(`no reply: ${describeFailure(outcome.failure)}`, made, maybeDone, outcome.failure);
      }
      await wait(waitMs, options.signal);
    }
  }

  /** Send the request once: what was read, the error with which the API replied, or why there was no reply. */
  async #attempt<T>(
    url: string,
    request: RequestInit,
    signal: AbortSignal | undefined,
    started: number,
    read: (response: Response) => Promise<T>,
  ): Promise<{ value: T } | { reply: ApiError } | { failure: unknown }> {
    const leftMs = started + this.#retries.totalMs - performance.now();
    const timeout = new AbortController();
    const timeoutMs = Math.max(Math.min(this.#timeoutMs, leftMs), 1);
    const timer = setTimeout(() => timeout.abort(new Error(`no reply within ${Math.round(timeoutMs)} ms`)), timeoutMs);
    try {
      const signals = signal === undefined ? [timeout.signal] : [signal, timeout.signal];
      const response = await this.#fetch(url, { ...request, signal: AbortSignal.any(signals) });
      return response.ok ? { value: await read(response) } : { reply: await readError(response) };
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof MalformedReplyError) throw error;
      return { failure: error };
    } finally {
      clearTimeout(timer);
    }
  }

  #buildRequest(method: Method, options: Options): RequestInit {
    const headers: Record<string, string> = {
      Authorization: `Bearer ${this.#key}`,
      Accept: "application/json, application/problem+json;q=0.9, */*;q=0.1",
      "User-Agent": `notifier-typescript/${VERSION}`,
    };
    if (options.idempotencyKey !== undefined) headers["Idempotency-Key"] = checkIdempotencyKey(options.idempotencyKey);
    const request: RequestInit = { method: method.toUpperCase(), headers, redirect: "manual" };
    if (options.body instanceof Blob) request.body = options.body;
    else if (options.body !== undefined) {
      headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(options.body);
    }
    return request;
  }
}

function readVariable(name: string): string {
  return (globalThis.process?.env[name] ?? "").trim();
}

function checkUrl(text: string): string {
  if (!text) throw new ConfigurationError("no URL: pass url, or set NOTIFIER_URL");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new ConfigurationError("the URL must be that of the API, such as https://notifier.example.com");
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new ConfigurationError("the URL must have no user, query or fragment: pass the key separately");
  }
  return url.href.replace(/\/+$/, "");
}

function checkKey(key: string): string {
  if (!key) throw new ConfigurationError("no API key: pass key, or set NOTIFIER_API_KEY");
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new ConfigurationError("an API key consists of printable ASCII characters without spaces");
  }
  return key;
}

function checkIdempotencyKey(key: string): string {
  if (/^[\x20-\x7e]+$/.test(key)) return key;
  throw new UnsendableError("an idempotency key consists of printable ASCII characters");
}

function fillPath(path: string, values: Record<string, string | number>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const segment = String(values[name]);
    if (!SEGMENT.test(segment)) throw new UnsendableError(`${JSON.stringify(segment)} is neither an id nor a name`);
    return segment;
  });
}

function buildQuery(query: Record<string, unknown>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of [value].flat()) if (item !== undefined && item !== null) search.append(name, String(item));
  }
  return search.size ? `?${search}` : "";
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  if (response.status === 204) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new MalformedReplyError("the reply is not JSON; is the URL that of Notifier's API?", { cause: error });
  }
}

async function readPage(response: Response): Promise<{ items: unknown[]; next: unknown }> {
  const page = (await readJson(response)) as Record<string, unknown> | null;
  const items = Object.values(page ?? {}).find(Array.isArray);
  if (items === undefined) throw new MalformedReplyError("the reply is not a page of a list");
  return { items, next: page?.next ?? null };
}

function describeFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
