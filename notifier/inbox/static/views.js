/* The four views of a message: HTML in a frame without rights, text, source, header fields. */

import { el } from "./elements.js";

const LINK = /\bhttps?:\/\/[^\s<>"'()]+[^\s<>"'().,;:!?]/g;
// The same rights as in the policy that the server sends with the document: links open a tab, nothing runs.
const SANDBOX = "allow-popups allow-popups-to-escape-sandbox";

export function htmlView(message, width) {
  const address = `/inbox/messages/${message.id}/frame`;
  const paper = el("iframe", { class: "paper", sandbox: SANDBOX, referrerpolicy: "no-referrer", title: "HTML of the message", src: address });
  const stage = el("div", { class: "stage", "data-width": width }, paper);
  if (!message.remote) return [stage];
  const notice = el("div", { class: "notice" }, "Images and styles from other sites are blocked.");
  const load = () => {
    paper.src = `${address}?remote=1`;
    notice.remove();
  };
  notice.append(el("button", { class: "button", type: "button", onclick: load }, "Load them"));
  return [notice, stage];
}

export function textView(message) {
  const text = el("pre", { class: "text" });
  let end = 0;
  for (const match of message.text.matchAll(LINK)) {
    const link = el("a", { href: match[0], target: "_blank", rel: "noopener noreferrer" }, match[0]);
    text.append(message.text.slice(end, match.index), link);
    end = match.index + match[0].length;
  }
  text.append(message.text.slice(end));
  return [text];
}

export function sourceView(message) {
  const source = el("pre", { class: "source", tabindex: "0", "aria-label": "Source of the message" }, "Loading…");
  fetch(`/inbox/messages/${message.id}/source`)
    .then((answer) => (answer.ok ? answer.text() : "This message is no longer here."))
    .catch(() => "The inbox does not answer.")
    .then((text) => source.replaceChildren(text));
  const remark = message.truncated && el("p", { class: "remark" }, "This is the first megabyte. Download the message to see all of it.");
  return remark ? [source, remark] : [source];
}

export function headersView(message) {
  const field = (kind) => ([name, value]) =>
    el("tr", { class: kind }, el("th", { scope: "row" }, name), el("td", {}, value));
  const envelope = [["MAIL FROM", message.sender || "<> (null sender)"], ...message.to.map((to) => ["RCPT TO", to])];
  return [el("table", { class: "fields" }, el("tbody", {}, envelope.map(field("envelope")), message.headers.map(field(null))))];
}
