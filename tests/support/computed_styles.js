// The computed style of each element that is shown and of its boxes: [what it is, all properties, or their hash].
const [isFull] = arguments;
const hidden = new Set(["HEAD", "META", "TITLE", "STYLE", "LINK", "SCRIPT", "BASE"]);
const hash = (text) => {
  let sum = 0;
  for (let place = 0; place < text.length; place += 1) sum = (Math.imul(sum, 31) + text.charCodeAt(place)) | 0;
  return `${sum}`;
};
// The same for every element; listing them takes longer than reading their values.
const properties = [...getComputedStyle(document.documentElement)].filter((name) => !name.startsWith("--"));
const names = [...properties, "--main", "--pad"];
const found = [];
for (const element of document.querySelectorAll("*")) {
  if (hidden.has(element.tagName) || element.closest("head")) continue;
  for (const box of [null, "::before", "::after"]) {
    const style = getComputedStyle(element, box);
    if (box && style.content === "none") continue;
    const values = names.map((name) => `${name}: ${style.getPropertyValue(name).trim()}`).join("\n");
    found.push([`${element.outerHTML.slice(0, 80)}${box || ""}`, isFull ? values : hash(values)]);
  }
}
return found;
