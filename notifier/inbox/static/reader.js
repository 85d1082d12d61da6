/* The reading pane: one message, or what is said when there is none. */

import { checkView } from "./check_view.js";
import { CLIP, ENVELOPE, OUTWARD, el, face, icon } from "./elements.js";
import { headersView, htmlSourceView, htmlView, rawView, textView } from "./views.js";
import { bytes, exactly } from "./words.js";

const reader = document.getElementById("reader");
const VIEWS = {
  html: ["HTML", htmlView],
  markup: ["HTML source", htmlSourceView],
  text: ["Text", textView],
  check: ["Check", checkView],
  headers: ["Headers", headersView],
  raw: ["Raw", rawView],
};
const NEEDS_HTML = new Set(["html", "markup", "check"]);
const WIDTHS = { 375: "375 px", 640: "640 px", full: "Full" };
const habit = { view: "html", width: "640", dark: false };

export function showMessage(message, actions) {
  const panel = el("div", { class: "view", id: "view", role: "tabpanel" });
  const views = el("div", { class: "views" });
  const show = (name, line) => {
    const focused = views.contains(document.activeElement) || line;
    views.replaceChildren(tabs(message, name, choose), name === "html" ? looks(panel) : "");
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.replaceChildren(...VIEWS[name][1](message, { ...habit, line, showLine: (number) => show("markup", number) }));
    if (focused) document.getElementById(`tab-${name}`).focus();
  };
  const choose = (name) => show((habit.view = name));
  reader.replaceChildren(head(message, actions), views, panel);
  reader.scrollTop = 0;
  show(has(message, habit.view) ? habit.view : ["html", "text", "raw"].find((name) => has(message, name)));
}

export function showGone() {
  blank(el("h1", {}, "This message is gone"), el("p", {}, "It was deleted, or newer mail took its place."), backLink());
}

export function showUnreachable() {
  blank(el("h1", {}, "The inbox does not answer"), el("p", {}, "It may have been stopped. This page comes back by itself."), backLink());
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

const backLink = () => el("a", { class: "button back", href: "#/" }, "← All mail");
const has = (message, name) => (NEEDS_HTML.has(name) ? message.html : name === "text" ? message.text !== null : true);

function head(message, { remove, release }) {
  const subject = message.subject ? el("h1", { class: "subject" }, message.subject) : el("h1", { class: "subject none" }, "(no subject)");
  const actions = el(
    "div",
    { class: "actions" },
    message.notification && el("a", { class: "button", id: "notification", href: message.notification, target: "_blank", rel: "noopener", title: "What became of this notification, and why: in the console" }, "Notification ", icon(OUTWARD)),
    el("button", { class: "button", id: "release-open", type: "button", onclick: release }, "Release"),
    el("a", { class: "button", href: `/api/v1/messages/${message.id}/download`, download: `${message.id}.eml` }, "Download"),
    el("button", { class: "button risky", id: "delete", type: "button", onclick: remove }, "Delete"),
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
  const address = (file) => `/inbox/messages/${message.id}/attachments/${file.number}`;
  const link = (file) =>
    el(
      "a",
      { class: "file", href: address(file), download: file.name, title: `${file.name}, ${file.type}` },
      icon(CLIP),
      el("span", { class: "file-name" }, file.name),
      el("span", { class: "file-size" }, bytes(file.size)),
    );
  const thumbnail = (file) =>
    el(
      "a",
      { class: "thumbnail", href: `${address(file)}/image`, target: "_blank", rel: "noopener", title: `Show ${file.name}` },
      el("img", { src: `${address(file)}/image`, alt: `Image ${file.name}`, loading: "lazy" }),
    );
  return el("ul", { class: "files", "aria-label": "Attachments" }, shown.map((file) => el("li", {}, file.image && thumbnail(file), link(file))));
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

function looks(panel) {
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
  const dark = el("button", { class: "button small dark", id: "dark", type: "button", "aria-pressed": String(habit.dark), title: "Show the mail as readers with dark mode see it" }, "Dark");
  dark.addEventListener("click", () => {
    habit.dark = !habit.dark;
    dark.setAttribute("aria-pressed", String(habit.dark));
    panel.querySelector(".stage").dataset.scheme = habit.dark ? "dark" : "light";
  });
  return el("div", { class: "looks" }, dark, group);
}
