"""Styles written into a version's own tags once, where that comes to the same as inlining every mail.

It does if every rule asks only for a tag's own name, classes or id, and every tag says these in plain text: then which
rules a tag gets depends on nothing else in the mail. In doubt the version is left as it is, and costs a little more.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import tinycss2

from notifier.mail.html_reader import read_start_tag, split_html
from notifier.rendering.inline import inline_css
from notifier.rendering.language.size_limit import OUTPUT_LIMIT

_ELEMENT = re.compile(r"<!--.*?-->|(<style\b[^>]*>.*?</style>)", re.DOTALL)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z][a-zA-Z0-9]*)?(?:[.#][a-zA-Z_][\w-]*)*|:root")
_NOT_OURS: Final = frozenset({"head", "tbody", "thead", "tfoot", "colgroup", "col", "br", "img"})
"""Tags that may stand in a mail without standing in the source: parsers and filters write them."""
_UNSEEN: Final = frozenset({"head", "meta", "title", "link", "base"})
"""Tags that are never shown, and have no style that matters."""
_KEPT_RULES: Final = frozenset({"media"})
_UNSURE = re.compile(
    r"{%[-+]?\s*(?:raw|filter|set\s+\w+\s*[-+]?%})|<(?:script|template|svg|math|plaintext)\b", re.IGNORECASE
)
"""What makes text of tags, or tags of text, so that a tag in the source need not be one of the mail."""
_EXPRESSION = r"{{(?:[^}]|}(?!}))*}}"
_START = re.compile(
    r"{#.*?#}|{%.*?%}|" + _EXPRESSION + r"|<!--.*?-->|<style\b.*?</style>"
    r"|<(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<rest>(?:\s(?:"
    + _EXPRESSION
    + r"|\"(?:"
    + _EXPRESSION
    + r"|{%.*?%}|[^\"])*\"|'(?:"
    + _EXPRESSION
    + r"|{%.*?%}|[^'])*'|{%.*?%}|[^<>\"'])*)?)(?P<end>\s*/?>)|(?P<odd><[a-zA-Z])",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"\s(?P<name>style|class|id)\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)", re.DOTALL | re.IGNORECASE
)
_ANY_OF_THESE = re.compile(r"\s(?:style|class|id)\s*=", re.IGNORECASE)
_AROUND: Final = {
    "td": "<table><tbody><tr>{}</tr></tbody></table>",
    "th": "<table><tbody><tr>{}</tr></tbody></table>",
    "tr": "<table><tbody>{}</tbody></table>",
    "tbody": "<table>{}</table>",
    "thead": "<table>{}</table>",
    "tfoot": "<table>{}</table>",
    "caption": "<table>{}</table>",
    "option": "<select>{}</select>",
}


class _UnsureError(Exception):
    """The source says something of which it is not known what becomes of it."""


@dataclass(frozen=True, kw_only=True)
class Prestyled:
    """A version's HTML with its styles in the tags."""

    files: dict[str, str]  # to be rendered in place of the version's
    element: str  # the `<style>` that a mail must have for it to hold
    elements: int  # how many `<style` there are in a mail, those in comments too
    left: str  # what stands there instead

    def finish(self, mail: str) -> str | None:
        """A mail rendered from `files`, as it leaves; None if its styles are not those that were written in."""
        if mail.count("<style") != self.elements:
            return None
        before, found, after = mail.partition(self.element)
        return f"{before}{self.left}{after}" if found else None


def prestyled(files: Mapping[str, str], sample: str) -> Prestyled | None:
    """The HTML files with their styles written in, as a mail of theirs (not yet inlined) shows them; None: in doubt."""
    if any(_is_open(text) for text in (sample, *files.values())):
        return None
    elements = [found[1] for found in _ELEMENT.finditer(sample) if found[1]]
    if len(elements) != 1 or not _is_plain(elements[0]) or _is_conditional(sample, elements[0]):
        return None
    sources = {name: text for name, text in files.items() if name.endswith(".html")}
    if any(_UNSURE.search(text) or text.count("<style") != text.lower().count("<style") for text in sources.values()):
        return None
    try:
        tags = {tag for text in sources.values() for tag in _tags(text)}
        doctype = _DOCTYPE.match(sample)
        styles, left = _styles(f"{doctype[0] if doctype else ''}<html", elements[0], tags)
        written = {name: _written(text, styles) for name, text in sources.items()}
    except _UnsureError:
        return None
    return Prestyled(files={**files, **written}, element=elements[0], elements=sample.count("<style"), left=left)


def _is_open(text: str) -> bool:
    """Whether something begins that does not end: looking for its end from every beginning would take for ever."""
    return any(text.rfind(begin) > text.rfind(end) for begin, end in (("<!--", "-->"), ("<style", "</style")))


def _is_conditional(sample: str, element: str) -> bool:
    """Whether the styles are for some mail programs only, though browsers see them."""
    before = sample.partition(element)[0].lower()
    return before.rfind("[if") > before.rfind("[endif]")


def _is_plain(element: str) -> bool:
    """Whether each rule can be decided by looking at one tag."""
    css = element.partition(">")[2].rpartition("</")[0]
    for rule in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if rule.type == "at-rule" and rule.lower_at_keyword in _KEPT_RULES:
            continue
        if rule.type != "qualified-rule":
            return False
        for selector in tinycss2.serialize(rule.prelude).split(","):
            found = _SELECTOR.fullmatch(selector.strip())
            if not found or not found[0] or (found["name"] or "").lower() in _NOT_OURS:
                return False
    return True


@dataclass(frozen=True)
class _Tag:
    """A start tag, as far as styles depend on it."""

    name: str
    identity: str  # its class and id attributes, as they are written
    style: str  # its own style, expressions as they are written


def _tags(text: str) -> Iterator[_Tag]:
    for found in _START.finditer(text):
        if found["odd"]:
            raise _UnsureError  # a tag that is put together while rendering
        if _is_seen(found):
            yield _tag(found)


def _is_seen(found: re.Match[str]) -> bool:
    return bool(found["name"]) and found["name"].lower() not in _UNSEEN


def _tag(found: re.Match[str]) -> _Tag:
    """The tag; raises `_UnsureError` if what it is called is decided while rendering."""
    rest = found["rest"] or ""
    said = {one["name"].lower(): one["value"] for one in _ATTRIBUTE.finditer(rest)}
    if len(said) != len(_ANY_OF_THESE.findall(rest)):
        raise _UnsureError  # one without quotes, or one twice
    outside = re.sub(r"\"[^\"]*\"|'[^']*'", "", re.sub(_EXPRESSION, "", rest))
    identity = " ".join(f'{name}="{said[name]}"' for name in ("class", "id") if name in said)
    if "{" in identity or '"' in "".join(said.values()) or "{%" in outside or "{%" in said.get("style", ""):
        raise _UnsureError
    return _Tag(found["name"].lower(), identity, said.get("style", ""))


def _styles(begin: str, element: str, tags: set[_Tag]) -> tuple[dict[_Tag, str], str]:
    """What the library writes into each tag, by asking it about a page that has all of them; and what it leaves."""
    numbered = sorted(tags, key=lambda tag: (tag.name, tag.identity, tag.style))
    whole = dict.fromkeys(("html", "body"), "")
    rest = []
    for number, tag in enumerate(numbered):
        words = f'{tag.identity} style="{_stood_in(tag.style)}" data-n="{number}"'
        if tag.name in whole:
            if whole[tag.name]:
                raise _UnsureError  # two of them, of which a mail shows one
            whole[tag.name] = words
        else:
            rest.append(_AROUND.get(tag.name, "{}").format(f"<{tag.name} {words}></{tag.name}>"))
    page = inline_css(
        f"{begin} {whole['html']}><head>{element}</head><body {whole['body']}>{''.join(rest)}</body></html>"
    )
    found = [tag.values for markup in split_html(page)[1::2] if (tag := read_start_tag(markup))]
    written = {int(values["data-n"]): values.get("style", "") for values in found if values.get("data-n")}
    if written.keys() != set(range(len(numbered))):
        raise _UnsureError  # the parser put one of them elsewhere, or away
    back = {tag: _put_back(written[number], tag.style) for number, tag in enumerate(numbered)}
    left = "".join(found[1] for found in _ELEMENT.finditer(page) if found[1])
    return back, left


def _stood_in(style: str) -> str:
    """The style with a word in place of each expression, which must be a value or part of one."""
    counted = iter(range(style.count("{{")))
    words = re.sub(_EXPRESSION, lambda _: f"jinja{next(counted)}x", style)
    declarations = tinycss2.parse_blocks_contents(html.unescape(words), skip_comments=True, skip_whitespace=True)
    if any(one.type != "declaration" or one.name.startswith("jinja") for one in declarations):
        raise _UnsureError
    return words


def _put_back(style: str, own: str) -> str:
    """The style as an attribute's text, with its expressions again; raises `_UnsureError` if one was lost."""
    if "{" in style or ("{{" in own and html.unescape(_stood_in(own)).strip() not in style):
        raise _UnsureError
    text = html.escape(style)
    for number, expression in enumerate(re.findall(_EXPRESSION, own)):
        word = f"jinja{number}x"
        if text.count(word) != 1:
            raise _UnsureError
        text = text.replace(word, expression)
    return text


def _written(text: str, styles: Mapping[_Tag, str]) -> str:
    """The source with each tag's style in it; raises `_UnsureError` while it becomes too long."""
    room = OUTPUT_LIMIT

    def write(found: re.Match[str]) -> str:
        nonlocal room
        if not _is_seen(found):
            return found[0]
        style = styles[_tag(found)]
        room -= len(style)
        if room < 0:
            raise _UnsureError
        rest = _ATTRIBUTE.sub(lambda one: "" if one["name"].lower() == "style" else one[0], found["rest"] or "")
        return f"<{found['name']}{rest}" + (f' style="{style}"' if style else "") + found["end"]

    return _START.sub(write, text)
