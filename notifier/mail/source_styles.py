"""Move styles into the HTML files of a version once, where the mails are the same as when each is inlined.

This works if every rule asks only for a tag's own name, classes or id, and every tag has these as fixed text: then the
rules of a tag depend on nothing else in the mail. In doubt the version stays as it is, and each mail is inlined.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import tinycss2

from notifier.mail.css_parser import serialize_css
from notifier.mail.html_reader import read_start_tag, split_html
from notifier.mail.limits import MAX_OUTPUT
from notifier.mail.style_inliner import inline_styles

_STYLE_ELEMENT = re.compile(r"<!--.*?-->|(<style\b[^>]*>.*?</style>)", re.DOTALL)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z][a-zA-Z0-9]*)?(?:[.#][a-zA-Z_][\w-]*)*|:root")
_ADDED_ELEMENTS: Final = frozenset({"head", "tbody", "thead", "tfoot", "colgroup", "col", "br", "img"})
"""Elements that may stand in a mail without standing in the source: parsers and filters write them."""
_INVISIBLE_ELEMENTS: Final = frozenset({"head", "meta", "title", "link", "base"})
_ALLOWED_AT_RULES: Final = frozenset({"media"})
_UNSURE = re.compile(
    r"{%[-+]?\s*(?:raw|filter|set\s+\w+\s*[-+]?%})|<(?:script|template|svg|math|plaintext)\b", re.IGNORECASE
)
"""What makes text of tags, or tags of text, so that a tag in the source need not be one of the mail."""
_EXPRESSION = r"{{(?:[^}]|}(?!}))*}}"
_SOURCE_MARKUP = re.compile(
    r"{#.*?#}|{%.*?%}|" + _EXPRESSION + r"|<!--.*?-->|<style\b.*?</style>"
    r"|<(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<rest>(?:\s(?:"
    + _EXPRESSION
    + r"|\"(?:"
    + _EXPRESSION
    + r"|{%.*?%}|[^\"])*\"|'(?:"
    + _EXPRESSION
    + r"|{%.*?%}|[^'])*'|{%.*?%}|[^<>\"'])*)?)(?P<end>\s*/?>)|(?P<incomplete><[a-zA-Z])",
    re.DOTALL,
)
_STYLE_ATTRIBUTE = re.compile(
    r"\s(?P<name>style|class|id)\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)", re.DOTALL | re.IGNORECASE
)
_ATTRIBUTE_NAME = re.compile(r"\s(?:style|class|id)\s*=", re.IGNORECASE)
_SURROUNDINGS: Final = {
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
    """The result of moving styles in the source is not certain."""


@dataclass(frozen=True, kw_only=True)
class StyledSource:
    """A version's HTML files with its styles in the tags."""

    files: dict[str, str]  # to be rendered in place of the version's
    style_element: str  # the `<style>` that a mail must have
    style_count: int  # how many `<style` there are in a mail, those in comments too
    remaining_css: str  # its replacement

    def finish_mail(self, mail: str) -> str | None:
        """Replace the `<style>` of a mail that was rendered from `files`; None if it has another one."""
        if mail.count("<style") != self.style_count:
            return None
        before, element, after = mail.partition(self.style_element)
        return f"{before}{self.remaining_css}{after}" if element else None


def style_source(files: Mapping[str, str], sample: str) -> StyledSource | None:
    """Write the styles into the HTML files; `sample` is a mail before inlining. None in doubt."""
    if any(_has_unclosed(text) for text in (sample, *files.values())):
        return None
    elements = _find_style_elements(sample)
    if len(elements) != 1 or not _has_only_plain_rules(elements[0]) or _is_conditional(sample, elements[0]):
        return None
    sources = {name: text for name, text in files.items() if name.endswith(".html")}
    if any(_UNSURE.search(text) or text.count("<style") != text.lower().count("<style") for text in sources.values()):
        return None
    try:
        tags = {tag for text in sources.values() for tag in _find_source_tags(text)}
        doctype = _DOCTYPE.match(sample)
        styles, remaining_css = _compute_tag_styles(f"{doctype[0] if doctype else ''}<html", elements[0], tags)
        styled = {name: _write_styles(text, styles) for name, text in sources.items()}
    except _UnsureError:
        return None
    return StyledSource(
        files={**files, **styled},
        style_element=elements[0],
        style_count=sample.count("<style"),
        remaining_css=remaining_css,
    )


def _find_style_elements(page: str) -> list[str]:
    return [match[1] for match in _STYLE_ELEMENT.finditer(page) if match[1]]


def _has_unclosed(text: str) -> bool:
    """Whether something begins that does not end: searching its end from every beginning takes quadratic time."""
    return any(text.rfind(begin) > text.rfind(end) for begin, end in (("<!--", "-->"), ("<style", "</style")))


def _is_conditional(sample: str, element: str) -> bool:
    """Whether the styles stand in a conditional comment that browsers read."""
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
        for selector in serialize_css(rule.prelude).split(","):
            match = _SELECTOR.fullmatch(selector.strip())
            if not match or not match[0] or (match["name"] or "").lower() in _ADDED_ELEMENTS:
                return False
    return True


@dataclass(frozen=True)
class _SourceTag:
    """A start tag of the source, as far as styles depend on it."""

    name: str
    identity: str  # its class and id attributes, as they are written
    style: str  # its own style, expressions as they are written


def _find_source_tags(text: str) -> Iterator[_SourceTag]:
    for match in _SOURCE_MARKUP.finditer(text):
        if match["incomplete"]:
            raise _UnsureError  # a tag that is put together while rendering
        if _is_visible_tag(match):
            yield _read_source_tag(match)


def _is_visible_tag(match: re.Match[str]) -> bool:
    return bool(match["name"]) and match["name"].lower() not in _INVISIBLE_ELEMENTS


def _read_source_tag(match: re.Match[str]) -> _SourceTag:
    """Read a tag. Raises `_UnsureError` if its name, class or id is known only after rendering."""
    rest = match["rest"] or ""
    values = {attribute["name"].lower(): attribute["value"] for attribute in _STYLE_ATTRIBUTE.finditer(rest)}
    if len(values) != len(_ATTRIBUTE_NAME.findall(rest)):
        raise _UnsureError  # an attribute without quotes, or twice the same
    outside = re.sub(r"\"[^\"]*\"|'[^']*'", "", re.sub(_EXPRESSION, "", rest))
    identity = " ".join(f'{name}="{values[name]}"' for name in ("class", "id") if name in values)
    if "{" in identity or '"' in "".join(values.values()) or "{%" in outside or "{%" in values.get("style", ""):
        raise _UnsureError
    return _SourceTag(match["name"].lower(), identity, values.get("style", ""))


def _compute_tag_styles(begin: str, element: str, tags: set[_SourceTag]) -> tuple[dict[_SourceTag, str], str]:
    """Inline a page with all the tags. Returns the style of each tag, and the remaining `<style>`."""
    numbered = sorted(tags, key=lambda tag: (tag.name, tag.identity, tag.style))
    roots = dict.fromkeys(("html", "body"), "")
    body = []
    for number, tag in enumerate(numbered):
        attributes = f'{tag.identity} style="{_replace_expressions(tag.style)}" data-n="{number}"'
        if tag.name in roots:
            if roots[tag.name]:
                raise _UnsureError  # two of them, of which a mail shows one
            roots[tag.name] = attributes
        else:
            body.append(_SURROUNDINGS.get(tag.name, "{}").format(f"<{tag.name} {attributes}></{tag.name}>"))
    page = inline_styles(
        f"{begin} {roots['html']}><head>{element}</head><body {roots['body']}>{''.join(body)}</body></html>"
    )
    attribute_values = [start.values for markup in split_html(page)[1::2] if (start := read_start_tag(markup))]
    inlined = {int(values["data-n"]): values.get("style", "") for values in attribute_values if values.get("data-n")}
    if inlined.keys() != set(range(len(numbered))):
        raise _UnsureError  # the parser moved or dropped one of them
    styles = {tag: _restore_expressions(inlined[number], tag.style) for number, tag in enumerate(numbered)}
    return styles, "".join(_find_style_elements(page))


def _replace_expressions(style: str) -> str:
    """The style with a word in place of each expression; an expression must be a value or a part of one."""
    numbers = iter(range(style.count("{{")))
    words = re.sub(_EXPRESSION, lambda _: f"jinja{next(numbers)}x", style)
    nodes = tinycss2.parse_blocks_contents(html.unescape(words), skip_comments=True, skip_whitespace=True)
    if any(node.type != "declaration" or node.name.startswith("jinja") for node in nodes):
        raise _UnsureError
    return words


def _restore_expressions(style: str, own_style: str) -> str:
    """The style as an attribute's text, with its expressions again. Raises `_UnsureError` if one was lost."""
    if "{" in style or ("{{" in own_style and html.unescape(_replace_expressions(own_style)).strip() not in style):
        raise _UnsureError
    text = html.escape(style)
    for number, expression in enumerate(re.findall(_EXPRESSION, own_style)):
        word = f"jinja{number}x"
        if text.count(word) != 1:
            raise _UnsureError
        text = text.replace(word, expression)
    return text


def _write_styles(text: str, styles: Mapping[_SourceTag, str]) -> str:
    """The source with each tag's style in it. Raises `_UnsureError` if it gets too long."""
    remaining = MAX_OUTPUT

    def write(match: re.Match[str]) -> str:
        nonlocal remaining
        if not _is_visible_tag(match):
            return match[0]
        style = styles[_read_source_tag(match)]
        remaining -= len(style)
        if remaining < 0:
            raise _UnsureError
        rest = _STYLE_ATTRIBUTE.sub(
            lambda item: "" if item["name"].lower() == "style" else item[0], match["rest"] or ""
        )
        return f"<{match['name']}{rest}" + (f' style="{style}"' if style else "") + match["end"]

    return _SOURCE_MARKUP.sub(write, text)
