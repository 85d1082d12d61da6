/* The views of a message: HTML in a frame without rights, its source, text, header fields, the raw mail. */

import { el } from "./elements.js";
import { highlightLines } from "./highlight.js";

const LINK = /\bhttps?:\/\/[^\s<>"'()]+[^\s<>"'().,;:!?]/g;
// The same rights as in the policy that the server sends with the document: links open a tab, nothing runs.
const SANDBOX = "allow-popups allow-popups-to-escape-sandbox";

export function htmlView(message, { width, dark }) {
  const address = `/inbox/messages/${message.id}/frame`;
  const paper = el("iframe", { class: "paper", sandbox: SANDBOX, referrerpolicy: "no-referrer", title: "HTML of the message", src: address });
  const stage = el("div", { class: "stage", "data-width": width, "data-scheme": dark ? "dark" : "light" }, paper);
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

export function htmlSourceView(message, { line }) {
  return loadSource(message, "html", "HTML source of the message", (source, text) => {
    source.classList.add("numbered");
    source.replaceChildren(...highlightLines(text));
    const marked = line && source.children[line - 1];
    if (!marked) return;
    marked.classList.add("marked");
    marked.scrollIntoView({ block: "center" });
  });
}

export function rawView(message) {
  return loadSource(message, "source", "Source of the message", (source, text) => source.replaceChildren(text));
}

function loadSource(message, name, label, fill) {
  const source = el("pre", { class: "source", tabindex: "0", "aria-label": label }, "Loading…");
  fetch(`/inbox/messages/${message.id}/${name}`)
    .then(async (answer) => (answer.ok ? fill(source, await answer.text()) : source.replaceChildren("This message is no longer here.")))
    .catch(() => source.replaceChildren("The inbox does not answer."));
  const remark = message.truncated && el("p", { class: "remark" }, "At most the first megabyte is shown. Download the message to see all of it.");
  return remark ? [source, remark] : [source];
}

export function headersView(message) {
  const field = (kind) => ([name, value]) =>
    el("tr", { class: kind }, el("th", { scope: "row" }, name), el("td", {}, value));
  const envelope = [["MAIL FROM", message.sender || "<> (null sender)"], ...message.to.map((to) => ["RCPT TO", to])];
  return [el("table", { class: "fields" }, el("tbody", {}, envelope.map(field("envelope")), message.headers.map(field(null))))];
}
