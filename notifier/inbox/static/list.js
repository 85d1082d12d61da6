/* The list of messages. Rows are kept by id, so that an update moves neither the focus nor the scroll position. */

import { CLIP, el, icon } from "./elements.js";
import { isRead } from "./read_marks.js";
import { ago, exactly } from "./words.js";

const list = document.getElementById("list");
const rows = new Map();

export function showList(items, chosen, { animate }) {
  const wanted = new Set(items.map((item) => item.id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  items.forEach((item, place) => {
    const row = rows.get(item.id) ?? newRow(item, animate);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  markList(chosen);
}

export function markList(chosen) {
  for (const [id, row] of rows) {
    const link = row.firstElementChild;
    const unread = !isRead(id);
    link.classList.toggle("unread", unread);
    link.querySelector(".unread-word").hidden = !unread;
    if (id === chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

export function reveal(id) {
  rows.get(id)?.firstElementChild.scrollIntoView({ block: "nearest" });
}

export function focusRow(id) {
  rows.get(id)?.firstElementChild.focus();
}

export function tick() {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(new Date(time.dateTime));
}

function newRow(item, animate) {
  const received = new Date(item.received);
  const link = el(
    "a",
    { class: animate ? "row fresh" : "row", href: `#/${item.id}` },
    el("span", { class: "dot", "aria-hidden": "true" }),
    recipients(item.to),
    el(
      "span",
      { class: "row-text" },
      el("span", { class: "row-subject" }, item.subject || "(no subject)"),
      el("span", { class: "row-preview" }, item.preview),
    ),
    el("span", { class: "row-from", title: item.from.address }, el("span", { class: "unseen" }, "from "), item.from.name || item.from.address || "(no sender)"),
    el("span", { class: "row-marks" }, item.attachments > 0 && [icon(CLIP), el("span", { class: "unseen" }, "with attachment")]),
    el("time", { class: "row-time", datetime: item.received, title: exactly(received), "data-ago": true }, ago(received)),
    el("span", { class: "unseen unread-word" }, "unread"),
  );
  const row = el("li", {}, link);
  rows.set(item.id, row);
  return row;
}

function recipients([first, ...others]) {
  const more = others.length > 0 && el("span", { class: "row-others", title: others.join(", ") }, ` +${others.length}`);
  return el("span", { class: "row-to" }, el("span", { class: "row-address" }, first || "(no recipient)"), more);
}
