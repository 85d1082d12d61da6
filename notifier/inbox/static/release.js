/* The dialog that releases a message: sends it on to an SMTP server that the inbox allows. */

import { el } from "./elements.js";

const dialog = document.getElementById("release");
const fields = document.getElementById("release-fields");
const text = document.getElementById("release-text");
const to = document.getElementById("release-to");
const server = document.getElementById("release-server");
const result = document.getElementById("release-result");
const send = document.getElementById("release-send");
let released = null;

export async function openRelease(message) {
  released = message;
  result.replaceChildren();
  const answer = await fetch("/api/v2/outgoing-smtp").catch(() => null);
  const names = answer?.ok ? Object.keys(await answer.json()) : [];
  fields.hidden = send.hidden = names.length === 0;
  text.textContent = names.length
    ? "The unchanged message is sent on, to this recipient only."
    : "This inbox may not release mail. It releases only to the ports of this machine that it was started with, such as notifier inbox --release-port 2525.";
  server.replaceChildren(...names.map((name) => el("option", {}, name)));
  to.value = message.to[0] ?? "";
  dialog.showModal();
}

document.getElementById("release-close").addEventListener("click", () => dialog.close());
document.getElementById("release-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  send.disabled = true;
  result.textContent = "Sending…";
  const body = JSON.stringify({ name: server.value, email: to.value });
  try {
    const answer = await fetch(`/api/v1/messages/${encodeURIComponent(released.id)}/release`, { method: "POST", body });
    result.textContent = answer.ok ? `Released to ${to.value} through ${server.value}.` : await answer.text();
  } catch {
    result.textContent = "The inbox does not answer.";
  }
  send.disabled = false;
});
