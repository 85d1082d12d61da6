// What a reader would complain about in the page as it is seen now: a list of sentences.
const found = [];
const SMALLEST = 24; // CSS pixels, WCAG 2.2 §2.5.8
const shown = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);

function rgba(colour) {
  const numbers = colour.match(/[\d.]+/g).map(Number);
  return numbers.length === 3 ? [...numbers, 1] : numbers;
}
function over(top, below) {
  return [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
}
function background(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
}
function luminance(colour) {
  const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

if (document.documentElement.scrollWidth > innerWidth)
  found.push(`the page is ${document.documentElement.scrollWidth} px wide, the window ${innerWidth}`);

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const range = document.createRange();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  range.selectNodeContents(texts.currentNode);
  const boxes = [...range.getClientRects()];
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  if (!texts.currentNode.data.replace(/[\s\u034f\u00a0]/g, "") || !boxes.length || style.visibility === "hidden") continue;
  const below = background(element);
  const seen = contrast(over(rgba(style.color), below), below);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (seen < (isLarge ? 3 : 4.5)) found.push(`“${shown(texts.currentNode.data)}” has a contrast of ${seen.toFixed(2)}`);
  if (size < 11) found.push(`“${shown(texts.currentNode.data)}” has letters of ${size} px`);
  let block = element;
  while (getComputedStyle(block).display === "inline") block = block.parentElement;
  const { left, right } = block.getBoundingClientRect();
  if (boxes.some((box) => box.left < left - 1 || box.right > right + 1))
    found.push(`“${shown(texts.currentNode.data)}” is wider than its place`);
  for (let at = block; at !== document.body; at = at.parentElement)
    if (getComputedStyle(at).overflow !== "visible" && at.scrollHeight > at.clientHeight + 1)
      found.push(`“${shown(texts.currentNode.data)}” is cut off`);
}

const links = [...document.links].map((link) => [link, link.getBoundingClientRect()]);
for (const [link, box] of links) {
  if (box.width >= SMALLEST && box.height >= SMALLEST) continue;
  // Smaller is well if a circle of that size around its middle meets no other link.
  const x = (box.left + box.right) / 2;
  const y = (box.top + box.bottom) / 2;
  const isAlone = links.every(([other, its]) => {
    if (other === link) return true;
    const across = Math.max(its.left - x, 0, x - its.right);
    const down = Math.max(its.top - y, 0, y - its.bottom);
    return Math.hypot(across, down) >= SMALLEST / 2;
  });
  if (!isAlone) found.push(`the link “${shown(link.textContent)}” is too small to hit beside another`);
}
return found;
