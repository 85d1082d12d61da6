// Compare the computed styles of the mails in two rows of frames: [number, element, property, before, after] of each difference.
const hidden = new Set(["HEAD", "META", "TITLE", "STYLE", "LINK", "SCRIPT", "BASE"]);
const sides = ["top", "right", "bottom", "left"];
const names = [
  ...["margin", "padding", "border"].flatMap((box) => sides.map((side) => `${box}-${side}`)),
  ...["color", "background", "font", "width", "height", "display", "text-decoration", "white-space", "--x"],
];
const shown = (frame) => [...frame.contentDocument.querySelectorAll("*")].filter((one) => !hidden.has(one.tagName));
const read = (element, box) => {
  const style = element.ownerDocument.defaultView.getComputedStyle(element, box);
  return names.map((name) => style.getPropertyValue(name).trim());
};
const found = [];
for (const frame of document.querySelectorAll("iframe.before")) {
  const other = document.querySelector(`iframe.after[name="${frame.name}"]`);
  const [old, fresh] = [shown(frame), shown(other)];
  if (old.length !== fresh.length) found.push([+frame.name, "", "elements", `${old.length}`, `${fresh.length}`]);
  for (let place = 0; place < Math.min(old.length, fresh.length); place += 1) {
    for (const box of [null, "::before", "::first-letter"]) {
      const [before, after] = [read(old[place], box), read(fresh[place], box)];
      const place_of = before.findIndex((value, number) => value !== after[number]);
      if (place_of >= 0) {
        const name = `${old[place].outerHTML.slice(0, 90)}${box || ""}`;
        found.push([+frame.name, name, names[place_of], before[place_of], after[place_of]]);
      }
    }
  }
}
return found;
