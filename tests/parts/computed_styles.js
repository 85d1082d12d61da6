// The computed style of each element that is shown, and of the boxes before and after it: [what it is, its properties].
const boxes = [null, "::before", "::after", "::first-letter"];
const hidden = new Set(["HEAD", "META", "TITLE", "STYLE", "LINK", "SCRIPT", "BASE"]);
const names = (style) => [...style].filter((name) => !name.startsWith("--"));
const found = [];
for (const element of document.querySelectorAll("*")) {
  if (hidden.has(element.tagName) || element.closest("head")) continue;
  for (const box of boxes) {
    const style = getComputedStyle(element, box);
    if (box && box !== "::first-letter" && style.content === "none") continue;
    const values = names(style).map((name) => `${name}: ${style.getPropertyValue(name)}`);
    const own = ["--main", "--pad", "--x"].map((name) => `${name}: ${style.getPropertyValue(name).trim()}`);
    found.push([`${element.outerHTML.slice(0, 80)}${box || ""}`, [...values, ...own].join("\n")]);
  }
}
return found;
