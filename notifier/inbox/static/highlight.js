/* Colours HTML source. Each piece becomes a text node, so nothing of it is ever read as markup. */

import { el } from "./elements.js";

const PIECE = /<!--[\s\S]*?(?:-->|$)|<[!/?a-z][^<>]*>?/gi;
const VALUE = /"[^"]*"|'[^']*'/g;
const MAX_COLOURED = 400_000; // characters; beyond them only lines are made

export function highlightLines(text) {
  const lines = [newLine()];
  const add = (kind, piece) => {
    piece.split("\n").forEach((part, place) => {
      if (place > 0) lines.push(newLine());
      if (part) lines.at(-1).append(kind ? el("span", { class: kind }, part) : part);
    });
  };
  if (text.length > MAX_COLOURED) add(null, text);
  else for (const [kind, piece] of pieces(text)) add(kind, piece);
  return lines;
}

function* pieces(text) {
  for (const [piece, isMarkup] of cut(text, PIECE)) {
    if (!isMarkup) yield [null, piece];
    else if (piece.startsWith("<!--")) yield ["comment", piece];
    else for (const [part, isValue] of cut(piece, VALUE)) yield [isValue ? "value" : "tag", part];
  }
}

function* cut(text, pattern) {
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) yield [text.slice(end, match.index), false];
    yield [match[0], true];
    end = match.index + match[0].length;
  }
  if (end < text.length) yield [text.slice(end), false];
}

const newLine = () => el("span", { class: "line" });
