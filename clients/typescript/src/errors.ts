/** The errors of the client: one base class, and a class for each kind that a caller handles in its own way. */
import type { Schemas } from "./operation.ts";

/** Something went wrong while calling Notifier. */
export class NotifierError extends Error {
  override name = "NotifierError";
}

/** The URL, the key or a webhook secret is missing or invalid. */
export class ConfigurationError extends NotifierError {
  override name = "ConfigurationError";
}

/** The arguments cannot be sent as a request; nothing was sent. */
export class UnsendableError extends NotifierError {
  override name = "UnsendableError";
}

/** There was no reply, after every allowed attempt. */
export class ConnectionFailedError extends NotifierError {
  override name = "ConnectionFailedError";
  /** The number of attempts. */
  readonly tries: number;
  /** True: at least one request may have reached the server. */
  readonly maybeDone: boolean;

  constructor(message: string, tries: number, maybeDone: boolean, cause: unknown) {
    const effect = maybeDone ? "the request may have taken effect" : "nothing was done";
    super(`${message} (tries: ${tries}; ${effect})`, { cause });
    this.tries = tries;
    this.maybeDone = maybeDone;
  }
}

/** The reply is not one of Notifier's API; the URL may be wrong. */
export class MalformedReplyError extends NotifierError {
  override name = "MalformedReplyError";
}

/** The webhook has no valid signature, or is too old. Do not trust it. */
export class WebhookVerificationError extends NotifierError {
  override name = "WebhookVerificationError";
}

/** The API replied with an error (RFC 9457). */
export class ApiError extends NotifierError {
  override name = "ApiError";
  readonly status: number;
  /** Stable: let your program decide by it; `http_<status>` if the reply is not from the API. */
  readonly code: string;
  /** The faults of the request, each with a JSON pointer. */
  readonly errors: readonly Schemas["FaultOut"][];
  /** With this id the operator finds the request in the logs. */
  readonly requestId: string | undefined;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** The whole problem document, if the reply is from the API. */
  readonly problem: Schemas["Problem"] | undefined;

  constructor(status: number, problem: Schemas["Problem"] | undefined, retryAfterMs: number | undefined) {
    super(describe(status, problem));
    this.status = status;
    this.code = problem?.code ?? `http_${status}`;
    this.errors = problem?.errors ?? [];
    this.requestId = problem?.request_id || undefined;
    this.retryAfterMs = retryAfterMs;
    this.problem = problem;
  }
}

/** The key is unknown, revoked or expired (401). */
export class AuthenticationError extends ApiError {
  override name = "AuthenticationError";
}

/** The key is valid, and may not do this (403). */
export class PermissionDeniedError extends AuthenticationError {
  override name = "PermissionDeniedError";
}

/** The request has faults; `errors` says where (400, 413, 415, 422). */
export class InvalidRequestError extends ApiError {
  override name = "InvalidRequestError";
}

/** The object does not exist, or belongs to another service (404). */
export class NotFoundError extends ApiError {
  override name = "NotFoundError";
}

/** The current state does not allow this; see `code` (409). */
export class ConflictError extends ApiError {
  override name = "ConflictError";
}

/** Too many requests; see `retryAfterMs` (429). */
export class RateLimitedError extends ApiError {
  override name = "RateLimitedError";
}

/** The service, or a proxy before it, failed (5xx). */
export class ServerError extends ApiError {
  override name = "ServerError";
}

const CLASSES: Readonly<Record<number, typeof ApiError>> = {
  400: InvalidRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  413: InvalidRequestError,
  415: InvalidRequestError,
  422: InvalidRequestError,
  429: RateLimitedError,
};

/** Read the error that a reply describes. */
export async function readError(response: Response): Promise<ApiError> {
  const text = await response.text();
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), Date.now());
  const ApiErrorClass = CLASSES[response.status] ?? (response.status >= 500 ? ServerError : ApiError);
  return new ApiErrorClass(response.status, parseProblem(text), retryAfterMs);
}

/** The milliseconds to wait (RFC 9110, 10.2.3); `undefined` if the field is missing or makes no sense. */
function parseRetryAfter(field: string | null, now: number): number | undefined {
  const text = field?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const until = /^\d*$/.test(text) ? NaN : Date.parse(text);
  return Number.isNaN(until) ? undefined : Math.max(until - now, 0);
}

function parseProblem(text: string): Schemas["Problem"] | undefined {
  try {
    const problem = JSON.parse(text);
    return typeof problem?.code === "string" && Array.isArray(problem.errors) ? problem : undefined;
  } catch {
    return undefined;
  }
}

function describe(status: number, problem: Schemas["Problem"] | undefined): string {
  if (problem === undefined) {
    return `${status}: the reply is not from Notifier: check the URL, and the proxies before the API`;
  }
  const faults = problem.errors.map((fault) => `${fault.pointer || "body"}: ${fault.detail}`).join("; ");
  const request = problem.request_id ? ` (request ${problem.request_id})` : "";
  return `${status} ${problem.code}: ${faults || problem.detail || problem.title}${request}`;
}
