// Only compiled: what the generated types allow, and what they refuse.
import type { components } from "./notifier.d.ts";

type Schemas = components["schemas"];

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
