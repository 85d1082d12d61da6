// Comfort of the publish page: a note is copied by a button. Without this script, it can be selected.
for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.nextElementSibling.textContent = "Copied.";
  });
}
