/* The page as a whole: what is shown, the address (#/<id>), live updates, and the keyboard. */

import { focusRow, markList, reveal, showList, tick } from "./list.js";
import { isRead, markAllRead, markRead } from "./read_marks.js";
import { showEmpty, showGone, showMessage, showUnreachable } from "./reader.js";
import { openRelease } from "./release.js";
import { counted } from "./words.js";

const STEP = 100;
const ALL = 9999; // more than the inbox keeps
const CALM = 120; // milliseconds between two looks at a list that keeps changing
const PATIENCE = 1000; // milliseconds before the next try to reach an inbox that went away
const panes = document.getElementById("panes");
const query = document.getElementById("query");
const state = { items: [], total: 0, found: 0, smtp: "", chaos: false, limit: STEP, loaded: false, newest: null, shown: null };

const chosen = () => location.hash.slice(2);
const wanted = () => chosen() || (state.total ? "(list)" : "(empty)");

/* The list */

let looking = false;
let lookAgain = false;

async function refresh() {
  if (looking) {
    lookAgain = true;
    return;
  }
  looking = true;
  try {
    const parameters = new URLSearchParams({ query: query.value, limit: state.limit });
    const answer = await fetch(`/inbox/messages?${parameters}`);
    if (answer.ok) take(await answer.json());
  } catch {
    /* The inbox is away; the event stream says so and asks again when it is back. */
  }
  setTimeout(() => {
    looking = false;
    if (lookAgain) refresh();
    lookAgain = false;
  }, CALM);
}

function take(answer) {
  const known = new Set(state.items.map((item) => item.id));
  announce(answer.items, known);
  Object.assign(state, answer);
  showList(state.items, chosen(), { animate: state.loaded });
  state.loaded = true;
  showNumbers();
  if (state.shown !== wanted()) showChosen();
}

function announce(items, known) {
  const fresh = items.filter((item) => !known.has(item.id));
  if (!state.loaded || query.value || fresh.length === 0) return;
  const news = document.getElementById("news");
  news.textContent = fresh.length === 1 ? `New mail: ${fresh[0].subject || "no subject"}` : `${fresh.length} new mails`;
}

function showNumbers() {
  const unread = state.items.filter((item) => !isRead(item.id)).length;
  document.title = unread ? `(${unread}) Inbox` : "Inbox";
  const all = counted(state.total, "message");
  const matching = state.found ? `${state.found.toLocaleString("en")} of ${all}` : `No match in ${all}`;
  const unreadWords = unread && !query.value.trim() ? `, ${unread.toLocaleString("en")} unread` : "";
  document.getElementById("count").textContent = (query.value.trim() ? matching : all) + unreadWords;
  document.getElementById("smtp").textContent = `SMTP ${state.smtp}`;
  document.getElementById("chaos").hidden = !state.chaos;
  document.getElementById("mark-all").hidden = unread === 0;
  document.getElementById("older").hidden = state.found <= state.items.length;
  document.getElementById("delete-all").hidden = state.total === 0;
}

/* The chosen message */

async function showChosen() {
  const id = chosen();
  if (!state.loaded) return;
  panes.dataset.view = id ? "message" : state.total ? "list" : "empty";
  const before = state.shown;
  state.shown = wanted();
  markList(id);
  if (!id) {
    if (!state.total) showEmpty(state.smtp);
    else if (before) focusRow(before);
    return;
  }
  try {
    const answer = await fetch(`/inbox/messages/${encodeURIComponent(id)}`);
    const message = answer.ok ? await answer.json() : null;
    if (id !== chosen()) return;
    if (!message) return showGone();
    markRead(id);
    markList(id);
    showNumbers();
    reveal(id);
    showMessage(message, { remove: () => remove(id), release: () => openRelease(message) });
  } catch {
    if (id === chosen()) showUnreachable();
    state.shown = null;
  }
}

async function remove(id) {
  const place = state.items.findIndex((item) => item.id === id);
  const next = state.items[place + 1] ?? state.items[place - 1];
  const answer = await fetch(`/api/v1/messages/${encodeURIComponent(id)}`, { method: "DELETE" });
  if (!answer.ok && answer.status !== 404) return;
  const wide = !matchMedia("(max-width: 760px)").matches;
  location.replace(wide && next && place >= 0 ? `#/${next.id}` : "#/");
  refresh();
}

/* Mark all as read */

document.getElementById("mark-all").addEventListener("click", async () => {
  const parameters = new URLSearchParams({ query: query.value, limit: ALL });
  const answer = await fetch(`/inbox/messages?${parameters}`);
  if (!answer.ok) return;
  markAllRead((await answer.json()).items.map((item) => item.id));
  markList(chosen());
  showNumbers();
});

/* Delete all */

const dialog = document.getElementById("confirm");
document.getElementById("delete-all").addEventListener("click", () => {
  document.getElementById("confirm-question").textContent = `Delete ${state.total === 1 ? "the one message" : `all ${counted(state.total, "message")}`}?`;
  dialog.showModal();
});
document.getElementById("confirm-no").addEventListener("click", () => dialog.close());
document.getElementById("confirm-yes").addEventListener("click", async () => {
  dialog.close();
  await fetch("/api/v1/messages", { method: "DELETE" });
  location.replace("#/");
  refresh();
});

/* Search and older messages */

let typing = 0;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.limit = STEP;
    state.loaded = false;
    refresh();
  }, CALM);
});
document.getElementById("older").addEventListener("click", () => {
  state.limit += STEP;
  refresh();
});

/* Live updates */

const live = document.getElementById("live");

function sayLive(name, word) {
  live.dataset.state = name;
  live.firstElementChild.textContent = word;
  live.title = word;
}

function listen() {
  const changes = new EventSource("/inbox/changes");
  changes.onopen = () => sayLive("live", "Live");
  changes.onmessage = refresh;
  changes.onerror = () => {
    // Browsers differ in when they try again, and give up after some errors.
    changes.close();
    sayLive("connecting", "Reconnecting");
    setTimeout(listen, PATIENCE);
  };
}

/* The keyboard */

function step(by) {
  const place = state.items.findIndex((item) => item.id === chosen());
  const next = state.items[place < 0 ? 0 : Math.min(Math.max(place + by, 0), state.items.length - 1)];
  if (next) location.replace(`#/${next.id}`);
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => query.focus(),
  Escape: () => location.replace("#/"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target === query) {
    if (event.key === "Escape" && query.value) {
      query.value = ""; // some browsers do it themselves, and say so to nobody
      query.dispatchEvent(new Event("input"));
    }
    if (event.key === "Escape" || event.key === "Enter") query.blur();
    return;
  }
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

addEventListener("hashchange", showChosen);
setInterval(tick, 20_000);
refresh();
listen();
