/** Decides whether and when a request is repeated. */
import { ApiError } from "./errors.ts";

/** How often and how long the client repeats a request. */
export interface RetryPolicy {
  /** The most requests; 1 never repeats. */
  tries: number;
  /** Milliseconds for all attempts and waits. */
  totalMs: number;
  /** Milliseconds before the second attempt; doubled after each attempt, with jitter. */
  firstWaitMs: number;
  /** The longest wait in milliseconds; the server may ask for more. */
  maxWaitMs: number;
}

export const DEFAULT_RETRIES: RetryPolicy = { tries: 5, totalMs: 60_000, firstWaitMs: 500, maxWaitMs: 8_000 };

const NEVER_ARRIVED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/** Whether an error reply allows another attempt. `repeatable`: repeating the request changes nothing more. */
export function isRetried(error: ApiError, repeatable: boolean): boolean {
  if (error.status === 429 || error.status === 503 || error.code === "idempotency_in_progress") return true;
  return repeatable && (error.status === 502 || error.status === 504);
}

/** Whether the request of a failed attempt may have reached the server. */
export function mayHaveArrived(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return !NEVER_ARRIVED.has(code);
}

/** The milliseconds before the next attempt; `undefined` if there is none. */
export function computeWait(
  policy: RetryPolicy,
  made: number,
  elapsedMs: number,
  retryAfterMs: number | undefined,
): number | undefined {
  const backoff = Math.min(policy.firstWaitMs * 2 ** (made - 1), policy.maxWaitMs) * (0.5 + Math.random() / 2);
  const asked = retryAfterMs === undefined ? undefined : retryAfterMs + (Math.random() * Math.min(retryAfterMs, 1000)) / 4;
  const wait = asked ?? backoff;
  return made >= policy.tries || elapsedMs + wait >= policy.totalMs ? undefined : wait;
}

/** Wait, unless the signal aborts. */
export function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
  });
}
