/** The client against a running `notifier demo`, whose address and key are in the environment. */
import assert from "node:assert/strict";
import test from "node:test";
import { InvalidRequestError, NotFoundError, Notifier, WebhookVerificationError, WebhookVerifier } from "notifier-outbox";
import { answer, startServer } from "./scripted-server.ts";

const notifier = new Notifier();
const run = crypto.randomUUID();
const variables = { name: "Ada", product: "Larkspur" };

async function readUntilSent(id: string) {
  let shown = await notifier.get(id);
  while (shown.status === "queued" || shown.status === "deferred") shown = await notifier.get(id);
  return shown;
}

test("a mail is sent once, although it is submitted twice with one key", async () => {
  const recipient = `ada-${run}@typescript.example`;
  const notification = { to: recipient, template: "welcome", variables };
  const first = await notifier.send(notification, { idempotencyKey: `order-${run}` });
  const again = await notifier.send(notification, { idempotencyKey: `order-${run}` });
  assert.deepEqual([first.replayed, again.replayed, again.id], [false, true, first.id]);
  const shown = await readUntilSent(first.id);
  assert.equal(shown.status, "sent");
  assert.equal(shown.attempts.at(-1)?.code, 250);
  const found = await notifier.call("get", "/v1/notifications", { query: { to: recipient } });
  assert.deepEqual(found.notifications.map((one) => one.id), [first.id]);
});

test("a list iterates over all pages", async () => {
  const notifications = [1, 2, 3].map((number) => ({ to: `page-${number}@typescript.example` }));
  const batch = await notifier.sendBatch({ notifications, defaults: { template: "welcome", variables, tags: [run] } });
  assert.ok(batch.results.every((result) => "id" in result));
  const recipients: string[] = [];
  for await (const shown of notifier.list("/v1/notifications", { query: { tag: run, limit: 1 } })) {
    recipients.push(shown.to);
  }
  assert.deepEqual(recipients.sort(), notifications.map((one) => one.to));
});

test("a refused request says where its faults are", async () => {
  const refused = notifier.send({ to: "nobody", template: "welcome", variables });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof InvalidRequestError);
    assert.deepEqual([error.status, error.code, error.errors[0]?.pointer], [422, "invalid_address", "/to"]);
    assert.match(error.message, /^422 invalid_address: \/to: .+ \(request [0-9a-f]+\)$/);
    return true;
  });
  await assert.rejects(notifier.get("01936f0e-7d6a-7c3e-9b54-3f0a4c1d2e5b"), NotFoundError);
});

test("a request without a reply body resolves, and one with a file gives its response", async () => {
  const created = await notifier.call("post", "/v1/webhooks", { body: { url: "http://127.0.0.1:9/unused" } });
  const path = { webhook_id: created.id };
  assert.equal(await notifier.call("delete", "/v1/webhooks/{webhook_id}", { path }), undefined);
  const sent = await notifier.send({ to: "eml@typescript.example", template: "welcome", variables });
  await readUntilSent(sent.id);
  const response = await notifier.request("get", "/v1/notifications/{notification_id}/content", {
    path: { notification_id: sent.id },
    query: { format: "eml" },
  });
  assert.match(await response.text(), /^Subject: /m);
});

test("a webhook of the service is verified; a wrong signature, another body and an old one are refused", async () => {
  await using receiver = await startServer(answer(204, ""));
  const endpoint = await notifier.call("post", "/v1/webhooks", { body: { url: `${receiver.url}/mail` } });
  const path = { webhook_id: endpoint.id };
  await notifier.call("post", "/v1/webhooks/{webhook_id}/test", { path });
  const { body, headers } = await receiver.next();
  await notifier.call("delete", "/v1/webhooks/{webhook_id}", { path });

  const other = "whsec_b3RoZXIgc2VjcmV0";
  const event = await new WebhookVerifier([other, endpoint.secret]).verify(body, headers);
  assert.deepEqual([event.type, event.id], ["webhook.test", headers["webhook-id"]]);
  const verifier = new WebhookVerifier(endpoint.secret);
  assert.deepEqual(await verifier.verify(new TextEncoder().encode(body), new Headers(headers as HeadersInit)), event);

  const rejections: [string, string, typeof headers, WebhookVerifier][] = [
    ["no signature", body, headers, new WebhookVerifier(other)],
    ["no signature", `${body} `, headers, verifier],
    ["no signature", body, { ...headers, "webhook-id": "another" }, verifier],
    ["no signature", body, { ...headers, "webhook-signature": "v1,AAAA v2,!" }, verifier],
    ["too old", body, { ...headers, "webhook-timestamp": String(Math.floor(Date.now() / 1000) - 301) }, verifier],
    ["not a number", body, { ...headers, "webhook-timestamp": "now" }, verifier],
    ["missing", body, {}, verifier],
  ];
  for (const [reason, text, fields, used] of rejections) {
    await assert.rejects(used.verify(text, fields), (error) => {
      assert.ok(error instanceof WebhookVerificationError);
      assert.match(error.message, new RegExp(reason));
      return true;
    });
  }
});
