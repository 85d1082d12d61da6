/* Builds elements. Text goes in as text nodes only, so nothing from a mail is ever read as markup. */

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(path, box = 20) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${box} ${box}`);
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const OUTWARD = "M8 5H5v10h10v-3M11 4h5v5M16 4l-7 7";
export const CLIP = "M14.5 9.2l-5 5a3 3 0 0 1-4.3-4.2l5.6-5.6a2 2 0 0 1 2.9 2.8l-5.4 5.4a1 1 0 0 1-1.4-1.4l4.6-4.6";
export const ENVELOPE = "M4 7.5h24a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2v-14a2 2 0 0 1 2-2zM2.6 8.6L16 18.5 29.4 8.6";

export function face(from) {
  const circle = el("span", { class: "face", "aria-hidden": "true" }, initials(from));
  circle.style.setProperty("--hue", hue(from.address));
  return circle;
}

function initials({ name, address }) {
  const words = (name || address.split("@")[0]).split(/[\s._+-]+/u).map((word) => word.match(/[\p{L}\p{N}]/u)?.[0]);
  const letters = words.filter(Boolean);
  const chosen = letters.length > 1 ? [letters[0], letters.at(-1)] : letters;
  return chosen.join("").toUpperCase() || "?";
}

function hue(text) {
  let sum = 7;
  for (const character of text.toLowerCase()) sum = (sum * 31 + character.codePointAt(0)) % 3600;
  return (sum % 24) * 15;
}
