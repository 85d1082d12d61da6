"""Styles written into a version's own tags once, where that comes to the same as inlining every mail.

It does if every rule asks only for a tag's own name, classes or id, and every tag says these in plain text: then which
rules a tag gets depends on nothing else in the mail. In doubt the version is left as it is, and costs a little more.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

import tinycss2

from notifier.mail.size_limit import MAX_OUTPUT
from notifier.mail.style_inliner import inline_styles

_ELEMENT = re.compile(r"<!--.*?-->|(<style\b[^>]*>.*?</style>)", re.DOTALL)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z][a-zA-Z0-9]*)?(?:[.#][a-zA-Z_][\w-]*)*|:root")
_NOT_OURS: Final = frozenset({"head", "tbody", "thead", "tfoot", "colgroup", "col", "br", "img"})
"""Tags that may stand in a mail without standing in the source: parsers and filters write them."""
_UNSEEN: Final = frozenset({"head", "meta", "title", "link", "base"})
"""Tags that are never shown, and have no style that matters."""
_ALLOWED_AT_RULES: Final = frozenset({"media"})
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
class StyledSource:
    """A version's HTML with its styles in the tags."""

    files: dict[str, str]  # to be rendered in place of the version's
    style_element: str  # the `<style>` that a mail must have for it to hold
    style_count: int  # how many `<style` there are in a mail, those in comments too
    remaining_css: str  # what stands there instead

    def finish_mail(self, mail: str) -> str | None:
        """A mail rendered from `files`, as it leaves; None if its styles are not those that were written in."""
        if mail.count("<style") != self.style_count:
            return None
        before, found, after = mail.partition(self.style_element)
        return f"{before}{self.remaining_css}{after}" if found else None


def style_source(files: Mapping[str, str], sample: str) -> StyledSource | None:
    """The HTML files with their styles written in, as a mail of theirs (not yet inlined) shows them; None: in doubt."""
    if any(_has_unclosed(text) for text in (sample, *files.values())):
        return None
    elements = [found[1] for found in _ELEMENT.finditer(sample) if found[1]]
    if len(elements) != 1 or not _has_only_plain_rules(elements[0]) or _is_conditional(sample, elements[0]):
        return None
    sources = {name: text for name, text in files.items() if name.endswith(".html")}
    if any(_UNSURE.search(text) or text.count("<style") != text.lower().count("<style") for text in sources.values()):
        return None
    try:
        tags = {tag for text in sources.values() for tag in _find_source_tags(text)}
        doctype = _DOCTYPE.match(sample)
        styles, left = _compute_tag_styles(f"{doctype[0] if doctype else ''}<html", elements[0], tags)
        written = {name: _write_styles(text, styles) for name, text in sources.items()}
    except _UnsureError:
        return None
    return StyledSource(
        files={**files, **written}, style_element=elements[0], style_count=sample.count("<style"), remaining_css=left
    )


def _has_unclosed(text: str) -> bool:
    """Whether something begins that does not end: looking for its end from every beginning would take for ever."""
    return any(text.rfind(begin) > text.rfind(end) for begin, end in (("<!--", "-->"), ("<style", "</style")))


def _is_conditional(sample: str, element: str) -> bool:
    """Whether the styles are for some mail programs only, though browsers see them."""
    before = sample.partition(element)[0].lower()
    return before.rfind("[if") > before.rfind("[endif]")


def _has_only_plain_rules(element: str) -> bool:
    """Whether each rule can be decided by looking at one tag."""
    css = element.partition(">")[2].rpartition("</")[0]
    for rule in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if rule.type == "at-rule" and rule.lower_at_keyword in _ALLOWED_AT_RULES:
            continue
        if rule.type != "qualified-rule":
            return False
        for selector in tinycss2.serialize(rule.prelude).split(","):
            found = _SELECTOR.fullmatch(selector.strip())
            if not found or not found[0] or (found["name"] or "").lower() in _NOT_OURS:
                return False
    return True


@dataclass(frozen=True)
class _SourceTag:
    """A start tag, as far as styles depend on it."""

    name: str
    identity: str  # its class and id attributes, as they are written
    style: str  # its own style, expressions as they are written


def _find_source_tags(text: str) -> Iterator[_SourceTag]:
    for found in _START.finditer(text):
        if found["odd"]:
            raise _UnsureError  # a tag that is put together while rendering
        if _is_visible_tag(found):
            yield _read_source_tag(found)


def _is_visible_tag(found: re.Match[str]) -> bool:
    return bool(found["name"]) and found["name"].lower() not in _UNSEEN


def _read_source_tag(found: re.Match[str]) -> _SourceTag:
    """The tag; raises `_UnsureError` if what it is called is decided while rendering."""
    rest = found["rest"] or ""
    said = {one["name"].lower(): one["value"] for one in _ATTRIBUTE.finditer(rest)}
    if len(said) != len(_ANY_OF_THESE.findall(rest)):
        raise _UnsureError  # one without quotes, or one twice
    outside = re.sub(r"\"[^\"]*\"|'[^']*'", "", re.sub(_EXPRESSION, "", rest))
    identity = " ".join(f'{name}="{said[name]}"' for name in ("class", "id") if name in said)
    if "{" in identity or '"' in "".join(said.values()) or "{%" in outside or "{%" in said.get("style", ""):
        raise _UnsureError
    return _SourceTag(found["name"].lower(), identity, said.get("style", ""))


def _compute_tag_styles(begin: str, element: str, tags: set[_SourceTag]) -> tuple[dict[_SourceTag, str], str]:
    """What the library writes into each tag, by asking it about a page that has all of them; and what it leaves."""
    numbered = sorted(tags, key=lambda tag: (tag.name, tag.identity, tag.style))
    whole = dict.fromkeys(("html", "body"), "")
    rest = []
    for number, tag in enumerate(numbered):
        words = f'{tag.identity} style="{_replace_expressions(tag.style)}" data-n="{number}"'
        if tag.name in whole:
            if whole[tag.name]:
                raise _UnsureError  # two of them, of which a mail shows one
            whole[tag.name] = words
        else:
            rest.append(_AROUND.get(tag.name, "{}").format(f"<{tag.name} {words}></{tag.name}>"))
    page = inline_styles(
        f"{begin} {whole['html']}><head>{element}</head><body {whole['body']}>{''.join(rest)}</body></html>"
    )
    reader = _StyleReader()
    reader.feed(page)
    if reader.styles.keys() != set(range(len(numbered))):
        raise _UnsureError  # the parser put one of them elsewhere, or away
    back = {tag: _restore_expressions(reader.styles[number], tag.style) for number, tag in enumerate(numbered)}
    left = "".join(found[1] for found in _ELEMENT.finditer(page) if found[1])
    return back, left


class _StyleReader(HTMLParser):
    """The style of each tag that has a number."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.styles: dict[int, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Note the style."""
        values = dict(attrs)
        if values.get("data-n"):
            self.styles[int(values["data-n"] or "")] = values.get("style") or ""


def _replace_expressions(style: str) -> str:
    """The style with a word in place of each expression, which must be a value or part of one."""
    counted = iter(range(style.count("{{")))
    words = re.sub(_EXPRESSION, lambda _: f"jinja{next(counted)}x", style)
    declarations = tinycss2.parse_blocks_contents(html.unescape(words), skip_comments=True, skip_whitespace=True)
    if any(one.type != "declaration" or one.name.startswith("jinja") for one in declarations):
        raise _UnsureError
    return words


def _restore_expressions(style: str, own: str) -> str:
    """The style as an attribute's text, with its expressions again; raises `_UnsureError` if one was lost."""
    if "{" in style or ("{{" in own and html.unescape(_replace_expressions(own)).strip() not in style):
        raise _UnsureError
    text = html.escape(style)
    for number, expression in enumerate(re.findall(_EXPRESSION, own)):
        word = f"jinja{number}x"
        if text.count(word) != 1:
            raise _UnsureError
        text = text.replace(word, expression)
    return text


def _write_styles(text: str, styles: Mapping[_SourceTag, str]) -> str:
    """The source with each tag's style in it; raises `_UnsureError` while it becomes too long."""
    room = MAX_OUTPUT

    def write(found: re.Match[str]) -> str:
        nonlocal room
        if not _is_visible_tag(found):
            return found[0]
        style = styles[_read_source_tag(found)]
        room -= len(style)
        if room < 0:
            raise _UnsureError
        rest = _ATTRIBUTE.sub(lambda one: "" if one["name"].lower() == "style" else one[0], found["rest"] or "")
        return f"<{found['name']}{rest}" + (f' style="{style}"' if style else "") + found["end"]

    return _START.sub(write, text)
