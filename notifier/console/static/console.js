// Comfort of the console. Everything works without it.
"use strict";

document.documentElement.classList.add("has-scripts");

const menus = () => document.querySelectorAll("details.menu[open]");

// A menu closes when something else is clicked or focused, and by Escape.
function closeMenus(target) {
  for (const menu of menus()) if (!menu.contains(target)) menu.open = false;
}
document.addEventListener("click", (event) => closeMenus(event.target));
document.addEventListener("focusin", (event) => closeMenus(event.target));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of menus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  // "/" goes to the search box, unless one is writing.
  const isField = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isField && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search")?.select();
  }
});

// What is wrong with a form is read first.
document.getElementById("errors")?.focus();

// A page asks again by itself only while somebody looks, and moves nothing that is written in or ticked.
let isSignedOut = false;
const isWriting = (region) => region?.contains(document.activeElement?.closest("input, textarea, select"));
document.addEventListener("htmx:before:request", (event) => {
  const isBusy = document.querySelector(".choose input:checked") || isWriting(event.detail.ctx.target);
  if (document.hidden || isSignedOut || isBusy) event.preventDefault();
});
document.addEventListener("htmx:before:response", (event) => {
  isSignedOut ||= event.detail.ctx.response.status === 401;
});

// A button copies the text of the element that it names.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
  button.textContent = "Copied";
  const said = document.getElementById("said");
  if (said) said.textContent = "Copied.";
});

// How many rows are ticked.
const chosen = document.getElementById("chosen");
document.addEventListener("change", () => {
  const count = document.querySelectorAll(".choose input:checked").length;
  if (chosen) chosen.textContent = count ? `${count} chosen:` : chosen.dataset.none;
});

// The zone of the browser is taken where an account begins, and proposed where one can be chosen.
const zone = document.querySelector("select[data-zone]");
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && here !== zone.value && [...zone.options].some((option) => option.value === here)) {
  const proposal = document.getElementById("zone-guess");
  const take = () => {
    zone.value = here;
    proposal.hidden = true;
  };
  if (zone.dataset.zone === "take") take();
  else {
    const button = proposal.querySelector("button");
    button.textContent = `Use ${here}, the zone of this browser`;
    button.addEventListener("click", () => {
      take();
      zone.focus();
    });
    proposal.hidden = false;
  }
}
