/* The reading pane: one message, or what is said when there is none. */

import { CLIP, ENVELOPE, el, face, icon } from "./elements.js";
import { headersView, htmlView, sourceView, textView } from "./views.js";
import { bytes, exactly } from "./words.js";

const reader = document.getElementById("reader");
const VIEWS = { html: ["HTML", htmlView], text: ["Text", textView], source: ["Source", sourceView], headers: ["Headers", headersView] };
const WIDTHS = { 375: "375 px", 640: "640 px", full: "Full" };
const habit = { view: "html", width: "640" };

export function showMessage(message, remove) {
  const panel = el("div", { class: "view", id: "view", role: "tabpanel" });
  const views = el("div", { class: "views" });
  const show = (name) => {
    const focused = views.contains(document.activeElement);
    views.replaceChildren(tabs(message, name, choose), name === "html" ? widths(panel) : "");
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.replaceChildren(...VIEWS[name][1](message, habit.width));
    if (focused) document.getElementById(`tab-${name}`).focus();
  };
  const choose = (name) => show((habit.view = name));
  reader.replaceChildren(head(message, remove), views, panel);
  reader.scrollTop = 0;
  show(has(message, habit.view) ? habit.view : ["html", "text", "source"].find((name) => has(message, name)));
}

export function showGone() {
  blank(el("h1", {}, "This message is gone"), el("p", {}, "It was deleted, or newer mail took its place."), backLink());
}

export function showUnreachable() {
  blank(el("h1", {}, "The inbox does not answer"), el("p", {}, "It may have been stopped. This page comes back by itself."), backLink());
}

export function showChoice(smtp) {
  blank(
    el("h1", {}, "Choose a message"),
    el("p", {}, `New mail to ${smtp} appears in the list by itself.`),
    el("div", { class: "keys" }, hint("j", "next"), hint("k", "previous"), hint("/", "search")),
  );
}

export function showEmpty(smtp) {
  const copy = el("button", { class: "button quiet", type: "button" }, "Copy");
  copy.addEventListener("click", () => navigator.clipboard?.writeText(smtp).then(() => (copy.textContent = "Copied")));
  blank(
    el("h1", {}, "No mail yet"),
    el("p", {}, "Send to this SMTP server, without a password and without TLS:"),
    el("div", { class: "address" }, el("code", {}, smtp), copy),
    el("p", {}, "Every mail stops here, whoever it is for, and appears at once."),
  );
}

function blank(...content) {
  reader.replaceChildren(el("div", { class: "blank" }, icon(ENVELOPE, 32), ...content));
}

const hint = (key, meaning) => el("span", {}, el("kbd", {}, key), ` ${meaning}`);
const backLink = () => el("a", { class: "button back", href: "#/" }, "← All mail");
const has = (message, name) => (name === "html" ? message.html : name === "text" ? message.text !== null : true);

function head(message, remove) {
  const subject = message.subject ? el("h1", { class: "subject" }, message.subject) : el("h1", { class: "subject none" }, "(no subject)");
  const actions = el(
    "div",
    { class: "actions" },
    el("a", { class: "button", href: `/api/v1/messages/${message.id}/download`, download: `${message.id}.eml` }, "Download"),
    el("button", { class: "button", id: "delete", type: "button", onclick: remove }, "Delete"),
  );
  return el("header", { class: "head" }, el("div", { class: "head-top" }, backLink(), subject, actions), who(message), files(message));
}

function who(message) {
  const received = new Date(message.received);
  const field = (name) => message.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value).join(", ");
  const named = `${field("to")} ${field("cc")}`.toLowerCase();
  const blind = message.to.filter((recipient) => !named.includes(recipient.toLowerCase()));
  const line = (label, value) => value && el("div", { class: "who-to" }, el("span", { class: "who-label" }, `${label} `), value);
  return el(
    "div",
    { class: "who" },
    face(message.from),
    el(
      "div",
      { class: "who-lines" },
      el("div", {}, el("span", { class: "who-name" }, message.from.name || message.from.address || "(no sender)"), message.from.name && el("span", { class: "who-address" }, ` ${message.from.address}`)),
      line("to", field("to")),
      line("cc", field("cc")),
      line("envelope only", blind.join(", ")),
    ),
    el("div", { class: "when" }, el("time", { datetime: message.received }, exactly(received)), ` · ${bytes(message.size)}`),
  );
}

function files(message) {
  const shown = message.files.filter((file) => !file.inline);
  if (shown.length === 0) return null;
  const link = (file) =>
    el(
      "a",
      { class: "file", href: `/inbox/messages/${message.id}/attachments/${file.number}`, download: file.name, title: `${file.name}, ${file.type}` },
      icon(CLIP),
      el("span", { class: "file-name" }, file.name),
      el("span", { class: "file-size" }, bytes(file.size)),
    );
  return el("ul", { class: "files", "aria-label": "Attachments" }, shown.map((file) => el("li", {}, link(file))));
}

function tabs(message, chosen, choose) {
  const names = Object.keys(VIEWS);
  const usable = names.filter((name) => has(message, name));
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(usable.at((usable.indexOf(chosen) + step) % usable.length));
  };
  const tab = (name) =>
    el(
      "button",
      {
        class: "tab",
        id: `tab-${name}`,
        type: "button",
        role: "tab",
        "aria-selected": String(name === chosen),
        "aria-controls": "view",
        tabindex: name === chosen ? "0" : "-1",
        disabled: !has(message, name),
        onclick: () => choose(name),
      },
      VIEWS[name][0],
    );
  return el("div", { class: "tabs", role: "tablist", "aria-label": "Views of the message", onkeydown: move }, names.map(tab));
}

function widths(panel) {
  const group = el("div", { class: "widths", role: "group", "aria-label": "Width of the mail" });
  const set = (width) => {
    habit.width = width;
    panel.querySelector(".stage").dataset.width = width;
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.width === width));
  };
  for (const [width, label] of Object.entries(WIDTHS)) {
    const pressed = String(width === habit.width);
    group.append(el("button", { class: "width", type: "button", "data-width": width, "aria-pressed": pressed, onclick: () => set(width) }, label));
  }
  return group;
}
