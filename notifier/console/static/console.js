// Comfort of the console. Everything works without it.
"use strict";

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
  const isWriting = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isWriting && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search")?.select();
  }
});

// What is wrong with a form is read first.
document.getElementById("errors")?.focus();

// A stream that is refused because the session has ended would be tried again for ever.
document.addEventListener("htmx:sse:error", (event) => {
  if (event.detail?.status !== 401 && event.detail?.connection?.status !== 401) return;
  event.preventDefault();
  location.reload();
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
