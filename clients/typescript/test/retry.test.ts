/** Retries, errors and configuration, against a server that replies as told. */
import assert from "node:assert/strict";
import test from "node:test";
import { inspect } from "node:util";
import {
  ConfigurationError,
  ConnectionFailedError,
  MalformedReplyError,
  Notifier,
  RateLimitedError,
  ServerError,
  UnsendableError,
  WebhookVerifier,
} from "notifier-outbox";
import { answer, cut, startServer } from "./scripted-server.ts";

const KEY = "ntf_live_never_shown";
const ACCEPTED = { id: "1", status: "queued", created_at: "2026-01-31T12:00:00Z" };
const NOTIFICATION = { to: "ada@example.com", template: "welcome" };
const retries = { firstWaitMs: 1 };

function problem(status: number, code: string) {
  return { type: `/problems/${code}`, title: code, status, code, detail: "", errors: [], request_id: "9f2c" };
}

test("429, 503, a conflict with itself and a lost reply are repeated with the same key", async () => {
  await using server = await startServer(
    answer(429, problem(429, "rate_limited"), { "Retry-After": "0" }),
    answer(503, problem(503, "database_unavailable"), { "Retry-After": new Date(0).toUTCString() }),
    answer(409, problem(409, "idempotency_in_progress")),
    cut,
    answer(202, ACCEPTED, { "Idempotent-Replayed": "true" }),
  );
  const sent = await new Notifier({ url: server.url, key: KEY, retries }).send(NOTIFICATION);
  assert.deepEqual(sent, { ...ACCEPTED, replayed: true });
  const keys = server.requests.map((request) => request.headers["idempotency-key"]);
  assert.equal(keys.length, 5);
  assert.equal(new Set(keys).size, 1);
  assert.deepEqual(new Set(server.requests.map((request) => request.body)), new Set([JSON.stringify(NOTIFICATION)]));
  assert.equal(server.requests[0]?.headers.authorization, `Bearer ${KEY}`);
});

test("a wait that is longer than the limit ends the call with the server's wish", async () => {
  await using server = await startServer(answer(429, problem(429, "rate_limited"), { "Retry-After": "3600" }));
  await assert.rejects(new Notifier({ url: server.url, key: KEY }).send(NOTIFICATION), (error) => {
    assert.ok(error instanceof RateLimitedError);
    assert.equal(error.retryAfterMs, 3_600_000);
    return true;
  });
  assert.equal(server.requests.length, 1);
});

test("a request that is not repeatable is sent once if its reply was lost", async () => {
  await using server = await startServer(cut);
  const notifier = new Notifier({ url: server.url, key: KEY, retries });
  const path = { notification_id: "1" };
  const lost = notifier.call("post", "/v1/notifications/{notification_id}/retry", { path, body: {} });
  await assert.rejects(lost, (error) => {
    assert.ok(error instanceof ConnectionFailedError);
    assert.deepEqual([error.tries, error.maybeDone], [1, true]);
    return true;
  });
  assert.equal(server.requests.length, 1);
});

test("a server that is away is tried again, and surely did nothing", async () => {
  const server = await startServer(cut);
  await server[Symbol.asyncDispose]();
  const notifier = new Notifier({ url: server.url, key: KEY, retries: { ...retries, tries: 3 } });
  await assert.rejects(notifier.send(NOTIFICATION), (error) => {
    assert.ok(error instanceof ConnectionFailedError);
    assert.deepEqual([error.tries, error.maybeDone], [3, false]);
    return true;
  });
});

test("a silent server ends an attempt, and an aborted signal the call", async () => {
  await using server = await startServer(() => undefined);
  const silent = new Notifier({ url: server.url, key: KEY, timeoutMs: 20, retries: { ...retries, tries: 2 } });
  await assert.rejects(silent.get("1"), /no reply within 20 ms \(tries: 2;/);
  const abort = new AbortController();
  const sending = new Notifier({ url: server.url, key: KEY }).send(NOTIFICATION, { signal: abort.signal });
  abort.abort(new Error("no longer needed"));
  await assert.rejects(sending, /no longer needed/);
});

test("replies of others are told apart", async () => {
  const html = (status: number) => answer(status, "<html>", { "Content-Type": "text/html" });
  await using server = await startServer(html(500), answer(301, "", { Location: "/elsewhere" }), (response) =>
    response.end("<html>"),
  );
  const notifier = new Notifier({ url: server.url, key: KEY, retries });
  await assert.rejects(notifier.get("1"), (error) => error instanceof ServerError && error.code === "http_500");
  await assert.rejects(notifier.get("1"), /301: the reply is not from Notifier/);
  await assert.rejects(notifier.get("1"), MalformedReplyError);
});

test("what cannot be sent is refused before anything is sent", async () => {
  await using server = await startServer(answer(200, {}));
  const notifier = new Notifier({ url: server.url, key: KEY });
  for (const id of ["..", "a/b", "", "1?x=y"]) await assert.rejects(notifier.get(id), UnsendableError);
  await assert.rejects(notifier.send(NOTIFICATION, { idempotencyKey: "a\nb" }), UnsendableError);
  assert.equal(server.requests.length, 0);
});

test("wrong settings are named, and the key is never shown", () => {
  const url = "https://notifier.example.com";
  for (const wrong of ["notifier.example.com", "ftp://a.example", "https://a:b@c.example", "https://a.example/?b"]) {
    assert.throws(() => new Notifier({ url: wrong, key: KEY }), ConfigurationError);
  }
  assert.throws(() => new Notifier({ url, key: "with space" }), ConfigurationError);
  for (const secret of ["whsec_", "whsec_no base64!", []]) {
    assert.throws(() => new WebhookVerifier(secret), ConfigurationError);
  }
  assert.ok(!inspect(new Notifier({ url, key: KEY }), { showHidden: true, depth: 9 }).includes(KEY));
});
