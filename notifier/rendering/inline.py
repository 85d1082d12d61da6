"""Moving CSS from `<style>` into `style` attributes, because many mail clients drop the former.

It runs on the rendered mail: before rendering it would move `{% for %}` out of tables. The mail looks the same before
and after in a browser; what cannot be moved without a change stays in `<style>`, and nothing else is written anew.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import css_inline

from notifier.rendering.inlining.attribute import write_attribute
from notifier.rendering.inlining.cascade import Kind, Plan, Profile, make_plan
from notifier.rendering.inlining.markup import Markup, Tag, read_markup
from notifier.rendering.inlining.stylesheet import Rule, parse_stylesheet, read_declarations, write_nodes

Styles = tuple[tuple[str, bool], ...]
"""The text of each `<style>`, and whether its rules are for everybody."""

_STYLE = re.compile(r"<(?i:style)\b[^>]*>(.*?)</(?i:style)", re.DOTALL)
_NUMBER: Final = " data-n0"
_NUMBERED = re.compile(rf'{_NUMBER}="(\d+)"(?: (?!style=)[^\s"=]+="[^"]*")*(?: style="([^"]*)")?>')
_MADE_UP = re.compile(r'<[a-z]+ style="(m[^"]*)">')
"""An element that has no tag in the mail, such as most `<tbody>`; it has no attributes either."""
_STANDARDS = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<!doctype\s+html\s*(?:>|[^>]*(?:xhtml 1|\.dtd|legacy-compat))", re.IGNORECASE | re.DOTALL
)
_CAPITAL = re.compile(r"""\b(?:class|id)\s*=\s*(?:"[^">]*[A-Z]|'[^'>]*[A-Z]|[^\s"'>]*[A-Z])|[.#][\w-]*[A-Z]""")
"""A class or id in capitals; without a document type, browsers take them for small letters."""


class UnmovedRule(NamedTuple):
    """A rule for everybody that has to stay in `<style>`."""

    selector: str
    offset: int  # in the mail, of the line that it begins in
    properties: tuple[str, ...]


def inline_css(html: str) -> str:
    """The same document with its styles inlined; nothing is ever fetched."""
    if not any(_has_movable(found[1]) for found in _STYLE.finditer(html)):
        return html
    markup = read_markup(html)
    mail = _match(html, markup) if markup else None
    return _write(html, mail) if mail else html


@lru_cache(maxsize=256)
def _has_movable(css: str) -> bool:
    """Whether a `<style>` has a rule that could move; most mails share their styles, hence the cache."""
    return parse_stylesheet(((css, True),)).has_movable


class _Writer:
    """What becomes of the styles of all mails that have the same kinds of elements."""

    def __init__(self, matcher: "_Matcher", plan: Plan) -> None:
        self._matcher = matcher
        self.plan = plan
        self.elements = [write_nodes(nodes, plan.keep) for nodes in matcher.sheet.elements]
        self.attribute = lru_cache(maxsize=1024)(self._attribute)

    def _attribute(self, marks: str, own: str) -> str:
        """The style attribute of a tag, escaped."""
        rules, _ = self._matcher.rules(marks)
        before, after = self.plan.attribute(rules)
        return write_attribute(before, own, after, self.plan.own_raised.get((_profile(own), rules), frozenset()))


class _Matcher:
    """Finds the rules that select each element, with css-inline: it is given a rule for each selector, and a mark."""

    def __init__(self, styles: Styles) -> None:
        self.sheet = parse_stylesheet(styles)
        texts: dict[str, str] = {}  # selector → mark
        self._moving: dict[str, list[Rule]] = {}
        self._staying: dict[str, list[Rule]] = {}
        for rule in self.sheet.rules:
            selector = rule.selector
            if rule.can_move:
                mark = texts.setdefault(selector.text, f"m{len(texts)}")
                self._moving.setdefault(mark, []).append(rule)
            if not selector.is_box:
                mark = texts.setdefault(selector.subject, f"m{len(texts)}")
                self._staying.setdefault(mark, []).append(rule)
        self._inliner = css_inline.CSSInliner(
            inline_style_tags=False,
            keep_style_tags=True,
            keep_link_tags=True,
            minify_css=True,
            load_remote_stylesheets=False,
            extra_css="".join(f"{text}{{{mark}:1}}" for text, mark in texts.items()),
        )
        self.rules = lru_cache(maxsize=1024)(self._rules)
        self.writer = lru_cache(maxsize=64)(self._writer)

    def marked(self, html: str) -> str:
        """The mail as a parser reads it, with the marks of each element in its style."""
        return self._inliner.inline(html)

    def _rules(self, marks: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        """The rules that select the elements with these marks, and those that may come to do so."""
        names = [mark.partition(":")[0] for mark in marks.split(";")]
        moving, staying = (
            tuple(sorted((rule for name in names for rule in rules.get(name, ())), key=lambda rule: rule.rank))
            for rules in (self._moving, self._staying)
        )
        return moving, staying

    def _writer(self, kinds: frozenset[tuple[str, Profile, bool]]) -> _Writer:
        found = [
            Kind(*self.rules(marks), own=own, has_tag=has_tag)
            for marks, own, has_tag in sorted(kinds, key=lambda kind: (kind[0], sorted(kind[1]), kind[2]))
        ]
        return _Writer(self, make_plan(self.sheet, found))


@lru_cache(maxsize=64)
def _matcher(styles: Styles) -> _Matcher:
    return _Matcher(styles)


@dataclass(frozen=True)
class _Matched:
    """A mail, and what is to be written into it."""

    markup: Markup
    marks: list[str]  # of each tag
    writer: _Writer


def _match(html: str, markup: Markup) -> _Matched | None:
    """Find out which rules select which tag; None if that cannot be said, or nothing can move."""
    matcher = _matcher(tuple((style.css, style.is_for_all) for style in markup.styles))
    if not matcher.sheet.has_movable or (not _STANDARDS.match(html) and _CAPITAL.search(html)):
        return None
    parsed = matcher.marked("".join(_numbered(html, markup.tags)))
    marks: dict[int, str] = {}
    for number, found in _NUMBERED.findall(parsed):
        if marks.setdefault(int(number), found) != found:
            return None  # one tag became two elements, with different styles
    if len(marks) != len(markup.tags):
        return None  # one became none
    kinds = {
        (marks[number], _profile(tag.own), True)
        for number, tag in enumerate(markup.tags)
        if tag.is_visible and marks[number]
    }
    kinds |= {(found, frozenset(), False) for found in _MADE_UP.findall(parsed)}
    if any(group == "all" for _, own, _ in kinds for group, _ in own):
        return None
    return _Matched(markup, [marks[number] for number in range(len(marks))], matcher.writer(frozenset(kinds)))


def _numbered(html: str, tags: list[Tag]) -> Iterator[str]:
    """The mail with a number at the end of each tag, and without its own styles: only ours are to be found there."""
    begin = 0
    for number, tag in enumerate(tags):
        if tag.style:
            yield html[begin : tag.style[0]]
            begin = tag.style[1]
        yield f'{html[begin : tag.end]}{_NUMBER}="{number}"'
        begin = tag.end
    yield html[begin:]


@lru_cache(maxsize=1024)
def _profile(own: str) -> Profile:
    return frozenset((one.group, one.is_important) for one in read_declarations(own)[0])


def _write(html: str, mail: _Matched) -> str:
    changes = [(*link, "") for link in mail.markup.links]
    for style, css in zip(mail.markup.styles, mail.writer.elements, strict=True):
        if css or not style.is_in_head:
            changes.append((style.text_start, style.text_end, css))
        else:
            changes.append((style.start, style.end, ""))
    for tag, marks in zip(mail.markup.tags, mail.marks, strict=True):
        if marks and tag.is_visible and (text := mail.writer.attribute(marks, tag.own)):
            start, end = tag.style or (tag.end, tag.end)
            changes.append((start, end, f'style="{text}"' if tag.style else f' style="{text}"'))
    changes.sort()
    pieces, begin = [], 0
    for start, end, text in changes:
        pieces += (html[begin:start], text)
        begin = end
    return "".join([*pieces, html[begin:]])
