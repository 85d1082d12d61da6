// Only compiled: what the types allow, and what they refuse.
import type { Notifier, Schemas } from "notifier-outbox";

export const shortest: Schemas["NotificationIn"] = { to: "ada@example.com", template: "welcome" };
export const ownContent: Schemas["NotificationIn"] = {
  to: "ada@example.com",
  cc: ["bob@example.com"],
  content: { subject: "Hello", text: "Hello Ada" },
  send_at: null,
  headers: { "X-Order": "1001" },
  metadata: { order: "1001" },
};
export const batch: Schemas["BatchShownIn"] = { notifications: [{ template: "welcome" }, shortest] };
export const asset: Schemas["AssetIn"] = { name: "logo", content: "iVBORw0KGgo=", mode: "crop", width: 10, height: 10 };
export const key: Schemas["KeyIn"] = { name: "shop" };
export const draft: Schemas["DraftIn"] = {
  files: { "subject.txt": "Hello", "body.html": "<p>Hello</p>", "locales/de/subject.txt": "Hallo" },
  settings: { name: "Greeting" },
  revision: "",
};
export const status = (shown: Schemas["NotificationOut"]): Schemas["ShownStatus"] => shown.status;

// @ts-expect-error - a recipient is needed
export const nobody: Schemas["NotificationIn"] = { template: "welcome" };
// @ts-expect-error - there is no such field
export const misspelt: Schemas["NotificationIn"] = { to: "ada@example.com", tempalte: "welcome" };
// @ts-expect-error - there is no such priority
export const urgent: Schemas["NotificationIn"] = { to: "ada@example.com", template: "welcome", priority: "urgent" };

export async function call(notifier: Notifier): Promise<void> {
  const page: Schemas["PageOut"] = await notifier.call("get", "/v1/notifications");
  const gone: undefined = await notifier.call("delete", "/v1/templates/{slug}", { path: { slug: "welcome" } });
  const csv = new Blob(["email\nada@example.com\n"], { type: "text/csv" });
  const merge: Schemas["MergeOut"] = await notifier.call("post", "/v1/merges", { query: { template: "offer" }, body: csv });
  for await (const fault of notifier.list("/v1/merges/{merge_id}/faults", { path: { merge_id: merge.id } })) {
    console.log(fault satisfies Schemas["MergeFaultsOut"]["rows"][number]);
  }
  await notifier.call("post", "/v1/schedules/{name}/run", { path: { name: "report" }, idempotencyKey: "monday" });
  console.log(page, gone);
  // @ts-expect-error - there is no such operation
  await notifier.call("post", "/v1/whoami");
  // @ts-expect-error - the path needs an id
  await notifier.call("get", "/v1/jobs/{job_id}");
  // @ts-expect-error - the body is missing
  await notifier.call("post", "/v1/keys");
  // @ts-expect-error - this operation takes no key
  await notifier.call("post", "/v1/keys", { body: { name: "shop" }, idempotencyKey: "a" });
  // @ts-expect-error - this list has no pages
  for await (const service of notifier.list("/v1/services")) console.log(service);
}
