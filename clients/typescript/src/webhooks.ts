/** Verifies webhooks of Notifier (Standard Webhooks) with Web Crypto. */
import { ConfigurationError, WebhookVerificationError } from "./errors.ts";
import type { Schemas } from "./operation.ts";

/** A verified event. `id` is the same at every delivery of the event: store it, and handle the event once. */
export type WebhookEvent = { id: string } & (Schemas["EventOut"] | Schemas["TestEventOut"]);

/** Header fields as `Request.headers` or Node's `request.headers` have them. */
export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

const DEFAULT_TOLERANCE_SECONDS = 300;
const ALGORITHM = { name: "HMAC", hash: "SHA-256" };

/** Accepts only webhooks that are signed with one of the secrets; during a rotation pass both. */
export class WebhookVerifier {
  readonly #secrets: Uint8Array<ArrayBuffer>[];
  readonly #toleranceSeconds: number;

  constructor(secret: string | readonly string[], options: { toleranceSeconds?: number } = {}) {
    this.#secrets = [secret].flat().map(decodeSecret);
    if (this.#secrets.length === 0) throw new ConfigurationError("a webhook secret is required");
    this.#toleranceSeconds = options.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS;
  }

  /** Verify a body, which must be the exact bytes received. Rejects with `WebhookVerificationError`. */
  async verify(body: Uint8Array | string, headers: WebhookHeaders): Promise<WebhookEvent> {
    const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => getHeader(headers, name));
    if (!id || !timestamp || !signatures) {
      throw new WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing");
    }
    if (!/^\d{1,11}$/.test(timestamp)) {
      throw new WebhookVerificationError("webhook-timestamp is not a number of seconds");
    }
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > this.#toleranceSeconds) {
      throw new WebhookVerificationError("the message is too old, or from the future: check the clock");
    }
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    if (!(await this.#isSigned(join(`${id}.${timestamp}.`, bytes), signatures))) {
      throw new WebhookVerificationError("no signature was made with one of the secrets");
    }
    return parseEvent(id, bytes);
  }

  async #isSigned(message: Uint8Array<ArrayBuffer>, signatures: string): Promise<boolean> {
    const received = signatures.split(" ").flatMap((text) => (text.startsWith("v1,") ? decodeBase64(text.slice(3)) : []));
    for (const secret of this.#secrets) {
      const key = await crypto.subtle.importKey("raw", secret, ALGORITHM, false, ["verify"]);
      for (const signature of received) {
        if (await crypto.subtle.verify("HMAC", key, signature, message)) return true;
      }
    }
    return false;
  }
}

function getHeader(headers: WebhookHeaders, part: string): string {
  const name = `webhook-${part}`;
  if (headers instanceof Headers) return headers.get(name) ?? "";
  const value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return typeof value === "string" ? value : "";
}

function decodeSecret(secret: string): Uint8Array<ArrayBuffer> {
  const [bytes] = decodeBase64(secret.replace(/^whsec_/, ""));
  if (!bytes?.length) throw new ConfigurationError("a webhook secret must be whsec_ followed by base64");
  return bytes;
}

/** The bytes; an empty list if the text is not base64. */
function decodeBase64(text: string): Uint8Array<ArrayBuffer>[] {
  try {
    return [Uint8Array.from(atob(text), (character) => character.charCodeAt(0))];
  } catch {
    return [];
  }
}

function join(prefix: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = new TextEncoder().encode(prefix);
  const message = new Uint8Array(start.length + body.length);
  message.set(start);
  message.set(body, start.length);
  return message;
}

function parseEvent(id: string, body: Uint8Array): WebhookEvent {
  try {
    const event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    if (typeof event.type === "string" && typeof event.timestamp === "string") return { ...event, id };
  } catch {
    // It is not JSON: the error below says so.
  }
  throw new WebhookVerificationError("the body is signed, but is not an event that this version understands");
}
