// What a person sees of the page, in reading order, as a list of [kind, text, isApart]:
// "word": a word; isApart: there is a gap between it and the word before.
// "link": the beginning of a link with its address; "end": the end of one.
// It asks the browser where letters are, and not which rules hide them.
const FILLERS = /[\u00ad\u034f\u180e\u200b\u2060\ufeff]|(?<!\S)[\u200c\u200d]+|[\u200c\u200d]+(?!\S)/g
const MARKS = /[\u200c-\u200f\u202a-\u202e\u2066-\u2069]/g
const LEAST = 1.5 // pixels, in width and height, of what can be seen
const items = []
let last = null // where the last word is

document.querySelectorAll("details").forEach((element) => (element.open = true)) // a click away; see docs/templates.md

function chain(element) {
  const around = []
  for (let one = element; one; one = one.parentElement) around.push(one)
  return around
}

function alpha(color) {
  const found = color.match(/rgba\(.*, ([\d.]+)\)/)
  return found ? Number(found[1]) : 1
}

function isShown(element) {
  if (getComputedStyle(element).visibility !== "visible") return false
  return chain(element).every((one) => {
    const style = getComputedStyle(one)
    const away = /inset\((?:50|100)%/.test(style.clipPath) || (/rect\([01]px, [01]px, [01]px, [01]px\)/.test(style.clip) && /absolute|fixed/.test(style.position))
    return Number(style.opacity) > 0 && style.display !== "none" && style.contentVisibility !== "hidden" && !away && !/matrix\(0, 0, 0, 0/.test(style.transform)
  })
}

function seenPart(rect, element) {
  let { left, right, top, bottom } = rect
  for (const one of chain(element)) {
    const style = getComputedStyle(one)
    if (style.overflowX === "visible" || style.display.startsWith("inline") && !style.display.includes("-")) continue
    if (one === document.body || one === document.documentElement) continue
    if (/table-(?:row|cell)/.test(style.display) || style.display === "table") continue // nothing is cut off there
    const box = one.getBoundingClientRect()
    left = Math.max(left, box.left); right = Math.min(right, box.right)
    top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom)
  }
  left = Math.max(left, -scrollX); top = Math.max(top, -scrollY)
  return right - left >= LEAST && bottom - top >= LEAST ? { left, right, top, bottom } : null
}

function addWord(text, rect, startsApart) {
  const word = text.replace(FILLERS, "")
  if (!word.replace(MARKS, "").trim()) return
  const gap = last && Math.max(rect.left - last.right, last.left - rect.right)
  const isApart = startsApart || !last || gap > 2 || rect.top >= last.bottom - 2 || rect.bottom <= last.top + 2
  word.split(/\s+/).filter(Boolean).forEach((part, number) => items.push(["word", part, isApart || number > 0]))
  last = rect
}

function addText(node) {
  const element = node.parentElement
  const style = getComputedStyle(element)
  if (!isShown(element) || parseFloat(style.fontSize) <= 1) return
  const isCutOut = style.webkitBackgroundClip === "text"
  if (alpha(style.color) === 0 && !isCutOut) return
  for (const found of node.data.matchAll(/[^ \t\n\r\f\u00a0]+/g)) {
    const range = document.createRange()
    range.setStart(node, found.index)
    range.setEnd(node, found.index + found[0].length)
    const rects = [...range.getClientRects()].map((rect) => seenPart(rect, element)).filter(Boolean)
    if (rects.length) addWord(found[0], { ...rects.at(-1), left: rects[0].left, top: rects[0].top }, found.index > 0)
  }
}

function addControl(element, text) {
  const rect = element.getBoundingClientRect()
  if (isShown(element) && (element.localName === "img" || seenPart(rect, element))) {
    text.split(/\s+/).filter(Boolean).forEach((part) => items.push(["word", part, true]))
    last = { left: -9, right: -9, top: -9, bottom: -9 }
  }
}

function addImage(element) {
  const isPixel = ["width", "height"].some((name) => ["0", "1"].includes(element.getAttribute(name)))
  if (isPixel || !element.getClientRects().length || !isShown(element)) return
  items.push(["image", "", true])
  addControl(element, element.alt)
}

const CONTROLS = {
  img: (element) => addImage(element),
  select: (element) => addControl(element, element.selectedOptions[0]?.text ?? ""),
  textarea: (element) => addControl(element, element.value),
  input: (element) => /^(?:text|search|submit|button|reset|email|tel|url|number)$/.test(element.type) && addControl(element, element.value || element.placeholder),
}
const SKIPPED = new Set(["script", "style", "template", "noscript", "iframe", "title"])

function walk(node) {
  if (node.nodeType === Node.TEXT_NODE) return addText(node)
  if (node.nodeType !== Node.ELEMENT_NODE || SKIPPED.has(node.localName)) return
  if (CONTROLS[node.localName]) return CONTROLS[node.localName](node)
  const address = node.localName === "a" && (node.getAttribute("href") ?? node.getAttribute("xlink:href"))
  if (address) items.push(["link", address, true])
  for (const child of node.childNodes) walk(child)
  if (address) items.push(["end", address, true])
}

walk(document.body)
return items
