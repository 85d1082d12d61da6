// Comfort of the template and layout editors: the editor, the preview while one writes, and a warning before leaving.
// The text boxes are the fields of the form; without this script, the Preview button fills the frame.
const form = document.getElementById("edit");
const pane = document.querySelector(".preview-side .mail-pane");
const remarks = document.getElementById("remarks");
const PAUSE = 250; // milliseconds after the last key
const editors = new Map(); // by file
let isChanged = form.dataset.changed === "yes";
let timer = 0;
let isBusy = false;
let isStale = false;
let edits = 0; // counts changes: what was checked must be what is shown

function note() {
  edits += 1;
  isChanged = true;
  const state = document.getElementById("saved-state");
  if (state && state.textContent !== "unsaved changes") state.textContent = "unsaved changes";
  preview();
}

function preview() {
  clearTimeout(timer);
  timer = setTimeout(refresh, PAUSE);
}

// One request at a time; the newest text wins.
async function refresh() {
  if (isBusy) {
    isStale = true;
    return;
  }
  isBusy = true;
  isStale = false;
  try {
    const checked = edits;
    if ((await showRemarks()) && checked === edits) await fillFrame();
  } finally {
    isBusy = false;
    if (isStale) preview();
  }
}

async function showRemarks() {
  if (!remarks) return true;
  const reply = await fetch(`${location.pathname}/remarks`, {method: "POST", body: new FormData(form), redirect: "manual"});
  if (reply.type === "opaqueredirect") {
    remarks.textContent = "You are signed out. Sign in again in another tab, and then go on here: nothing is lost.";
    return false;
  }
  if (!reply.ok) return false;
  const answer = new DOMParser().parseFromString(await reply.text(), "text/html");
  remarks.replaceChildren(answer.querySelector(".remarks"));
  markLines();
  const isFine = remarks.querySelector("[data-ok]").dataset.ok === "yes";
  pane?.classList.toggle("outdated", !isFine);
  if (isFine) showLinks(answer.getElementById("preview-links"));
  return isFine;
}

function showLinks(fresh) {
  const old = document.getElementById("preview-links");
  if (old.querySelector("details")?.open) fresh.querySelector("details")?.setAttribute("open", "");
  old.replaceWith(fresh);
}

function markLines() {
  const found = new Map();
  for (const each of remarks?.querySelectorAll("[data-file]") ?? []) {
    const {file, line, severity, message} = each.dataset;
    found.set(file, [...(found.get(file) ?? []), {line: Number(line), severity, message}]);
  }
  for (const [file, editor] of editors) {
    editor.setRemarks(found.get(file) ?? []);
    const count = editor.part?.querySelector(".count");
    if (!count) continue;
    const errors = (found.get(file) ?? []).filter((each) => each.severity === "error").length;
    count.hidden = errors === 0;
    count.textContent = errors === 1 ? "1 mistake" : `${errors} mistakes`;
  }
}

// The mail is posted into a new frame behind the old one, which is replaced when it has loaded: no flash, no history.
function fillFrame() {
  if (!pane) return Promise.resolve();
  const old = pane.querySelector("iframe");
  const fresh = old.cloneNode();
  fresh.name = `preview-${Date.now()}`;
  fresh.classList.add("behind", "filled");
  const posted = edits;
  return new Promise((resolve) => {
    let isSent = false;
    fresh.addEventListener("load", () => {
      if (!isSent) return;
      if (posted === edits) {
        fresh.classList.remove("behind");
        old.remove();
      } else {
        fresh.remove();
      }
      resolve();
    });
    pane.append(fresh);
    const button = document.getElementById("show-preview");
    button.formTarget = fresh.name;
    isSent = true;
    form.requestSubmit(button);
  });
}

function goTo(file, line) {
  const part = document.getElementById(file.replaceAll("/", "-"));
  if (part?.tagName === "DETAILS") part.open = true;
  if (editors.has(file) && line) editors.get(file).focusLine(line);
  else part?.querySelector("input, textarea, select")?.focus();
}

async function layEditors() {
  const {createEditor} = await import("./vendor/editor.js");
  const names = JSON.parse(form.dataset.names);
  for (const box of form.querySelectorAll("textarea[data-file]")) {
    const {file} = box.dataset;
    const label = form.querySelector(`label[for="${box.id}"]`)?.textContent ?? file;
    const editor = createEditor(box, {
      nonce: form.dataset.nonce, label, isHtml: file.endsWith(".html"), names: () => names, changed: note,
      save: () => form.requestSubmit(document.getElementById("save")),
    });
    editor.part = box.closest("details");
    editors.set(file, editor);
  }
  markLines();
}

form.addEventListener("input", note);
form.addEventListener("submit", (event) => {
  if (event.submitter?.id !== "show-preview") isChanged = false;
});
window.addEventListener("beforeunload", (event) => {
  if (isChanged) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest(".to-line");
  if (!link) return;
  event.preventDefault();
  const {file, line} = link.closest("[data-file]").dataset;
  goTo(file, Number(line));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "s" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
  event.preventDefault();
  document.getElementById("save")?.click();
});

if (form.dataset.plain !== "yes") await layEditors();
const file = decodeURIComponent(location.hash.slice(1)).replace(/^(locales-[^-]+(?:-[^-]+)*?|_layouts)-/, (part) => part.replace("locales-", "locales/").replace(/-$/, "/"));
const line = Number(new URLSearchParams(location.search).get("line"));
if (file) goTo(file, line);
document.documentElement.dataset.ready = "yes";
refresh();
