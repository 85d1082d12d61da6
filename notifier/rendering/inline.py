"""Moving CSS from `<style>` into `style` attributes, because many mail clients drop the former.

It runs on the rendered mail: before rendering it would move `{% for %}` out of tables. The mail looks the same before
and after in a browser; what cannot be moved without a change stays in `<style>`, and nothing else is written anew.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from notifier.mail.html_reader import STYLE_TAG, split_html
from notifier.rendering.inlining.markup import INVISIBLE, Token, find_depth, read_tokens
from notifier.rendering.inlining.matching import Matcher, StyleWriter, matcher_of
from notifier.rendering.inlining.stylesheet import Stylesheet, parse_stylesheet
from notifier.rendering.language.size_limit import OUTPUT_LIMIT, OutputTooLargeError

MOST_STRUCTURES: Final = 128
MAX_DEPTH: Final = 500
"""Elements within each other: browsers lift them out of each other from 512 on, and css-inline crashes at thousands."""
MAX_MATCHED: Final = 5_000_000
"""Selectors times tags of a mail that are looked at: a few tenths of a second."""
TOO_LONG: Final = "this becomes more than 1 MiB once its styles stand in the tags."
TOO_MANY: Final = f"its styles have too many rules for so many tags: at most {MAX_MATCHED:,} of one times the other."
LONGEST_TAG: Final = 1000  # characters; longer ones have images in them, and do not come again

_CLOSING = re.compile(r"</(?i:style)")
_STRAY = re.compile(r"<[a-zA-Z]")
"""A tag that is not read as one."""
_STANDARDS = re.compile(r"<!doctype\s+html\s*(?:>|.*(?:xhtml 1|\.dtd|legacy-compat))", re.DOTALL)


class UnmovedRule(NamedTuple):
    """A rule that stays in `<style>`."""

    selector: str
    offset: int  # in the mail
    reason: str


class _Structure(NamedTuple):
    """What becomes of all mails that have the same tags, in the same order."""

    marked: list[tuple[int, str]]  # number and marks of each token that rules select
    styles: list[tuple[int, str, bool]]  # number and text of each `<style>` that changes; whether it goes if empty
    dropped: list[int]  # numbers of the links to stylesheets, which are never followed
    writer: StyleWriter


_Found = _Structure | frozenset[str] | None
"""What becomes of a mail, or which attributes that depends on; None: nothing is moved."""
_UNKNOWN: Final = frozenset({"\0"})
_structures: dict[object, _Found] = {}  # by the shapes of the tags


def inline_css(html: str) -> str:
    """The same document with its styles inlined; nothing is ever fetched.

    Raises `OutputTooLargeError` while it grows.
    """
    if not any(_may_move(html[found.end() : _end(html, found.end())]) for found in STYLE_TAG.finditer(html)):
        return html
    pieces = split_html(html)
    tokens = read_tokens(pieces[1::2])
    structure = _structure(pieces, tokens)
    return _written(pieces, tokens, structure) if structure else html


def find_unmoved(html: str) -> list[UnmovedRule]:
    """The rules for everybody that stay in `<style>`, where some mail programs do not see them, and why."""
    pieces = split_html(html)
    tokens = read_tokens(pieces[1::2])
    starts = [
        sum(map(len, pieces[: 2 * number + 1])) + token.css[0] for number, token in enumerate(tokens) if token.css
    ]
    sheet = _matcher(pieces, tokens).sheet
    found = [
        UnmovedRule(text, starts[element] + offset, "its selector or what stands in it is not understood")
        for text, (element, offset) in sheet.unread
    ]
    structure = _structure(pieces, tokens)
    if structure:
        for rule in structure.writer.plan.moved:
            names = [one.name for one in rule.declarations if (rule, one.group) in structure.writer.plan.unmoved]
            why = f"moving {', '.join(dict.fromkeys(names))} would change which rule wins"
            found += [UnmovedRule(rule.selector.text, starts[rule.place[0]] + rule.place[1], why)] if names else []
    elif first := next((rule for rule in sheet.rules if rule.can_move), None):
        why = sheet.obstacle or "the tags can be read in more than one way"
        found.append(
            UnmovedRule(first.selector.text, starts[first.place[0]] + first.place[1], f"{why}; no rule is moved")
        )
    return sorted(found, key=attrgetter("offset", "selector"))


@lru_cache(maxsize=256)
def _may_move(css: str) -> bool:
    """Whether a `<style>` has a rule that could move; most mails share their styles, hence the cache."""
    return parse_stylesheet(((css, True),)).has_movable


def _end(html: str, start: int) -> int:
    """Where the text of a `<style>` ends."""
    end = _CLOSING.search(html, start)
    return end.start() if end else len(html)


def _structure(pieces: Sequence[str], tokens: Sequence[Token]) -> _Structure | None:
    """What becomes of the mail; None if nothing of it is moved."""
    if any("<" in text and _STRAY.search(text) for text in pieces[::2]):
        return None
    key: tuple[object, ...] = (tuple(map(attrgetter("shape"), tokens)), tuple(map(bool, map(str.strip, pieces[::2]))))
    found = _structures.get(key, _UNKNOWN)
    if found is _UNKNOWN:
        found = _keep(key, _matcher(pieces, tokens).sheet.attributes or _find_structure(pieces, tokens))
    if isinstance(found, frozenset):
        key = (*key, *(tuple(token.attributes.get(name) for token in tokens) for name in sorted(found)))
        found = _structures.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found = _keep(key, _find_structure(pieces, tokens))
    return found if isinstance(found, _Structure) else None


def _keep(key: object, found: _Found) -> _Found:
    if len(_structures) >= MOST_STRUCTURES:
        _structures.clear()
    _structures[key] = found
    return found


def _matcher(pieces: Sequence[str], tokens: Sequence[Token]) -> Matcher:
    """The matcher for the mail's styles."""
    styles, is_conditional = [], False
    for number, token in enumerate(tokens):
        if token.begins_condition is not None:
            is_conditional = token.begins_condition
        if token.css:
            css = pieces[2 * number + 1][slice(*token.css)]
            styles.append((css, token.is_for_all and not is_conditional))
    return matcher_of(tuple(styles))


def _find_structure(pieces: Sequence[str], tokens: Sequence[Token]) -> _Structure | None:
    matcher = _matcher(pieces, tokens)
    is_unsure = (
        any(token.is_unsure or "all" in dict(token.profile) for token in tokens) or find_depth(tokens) > MAX_DEPTH
    )
    if is_unsure or not matcher.sheet.has_movable or _has_double_names(matcher.sheet, tokens):
        return None
    if len(matcher.sheet.rules) * len(tokens) > MAX_MATCHED:
        raise OutputTooLargeError(TOO_MANY)
    matched = matcher.match(pieces, tokens)
    if matched is None:
        return None
    marks, kinds = matched
    names = _names(tokens)
    writer = matcher.writer(kinds, names)
    if matcher.sheet.reads_styles and writer.plan.own_raised:
        return None
    elements = [number for number, token in enumerate(tokens) if token.css]
    body = next((number for number, token in enumerate(tokens) if token.name not in {"", "html", *INVISIBLE}), 0)
    return _Structure(
        marked=[(number, found) for number, found in enumerate(marks) if found],
        styles=[
            (number, css, number < body)
            for number, css in zip(elements, writer.elements, strict=True)
            if css is not None
        ],
        dropped=[number for number, token in enumerate(tokens) if token.is_linked],
        writer=writer,
    )


def _has_double_names(sheet: Stylesheet, tokens: Sequence[Token]) -> bool:
    """Whether classes or ids differ in capitals only, which makes them the same without a document type."""
    doctype = next((token.shape for token in tokens if token.shape.startswith("<!doctype")), "")
    if _STANDARDS.match(doctype):
        return False
    names = _names(tokens).union(*(rule.selector.names for rule in sheet.rules))
    return len({name.lower() for name in names}) < len(names)


def _names(tokens: Sequence[Token]) -> frozenset[str]:
    """The tags, classes and ids of a mail."""
    classes = {f".{name}" for token in tokens for name in token.attributes.get("class", "").split()}
    return frozenset(
        classes | {f"#{token.attributes.get('id')}" for token in tokens} | {token.name for token in tokens}
    )


def _written(pieces: list[str], tokens: Sequence[Token], structure: _Structure) -> str:
    """The pieces put together again, some of them changed."""
    room = OUTPUT_LIMIT - sum(map(len, pieces))
    for number, marks in structure.marked:
        place = 2 * number + 1
        write = _tag if len(pieces[place]) <= LONGEST_TAG else _tag.__wrapped__
        written = write(structure.writer, marks, pieces[place], tokens[number])
        room -= len(written) - len(pieces[place])
        if room < 0:
            raise OutputTooLargeError(TOO_LONG)
        pieces[place] = written
    for number, css, may_go in structure.styles:
        place = 2 * number + 1
        start, end = tokens[number].css or (0, 0)
        pieces[place] = f"{pieces[place][:start]}{css}{pieces[place][end:]}" if css or not may_go else ""
    for number in structure.dropped:
        pieces[2 * number + 1] = ""
    return "".join(pieces)


@lru_cache(maxsize=4096)
def _tag(writer: StyleWriter, marks: str, text: str, token: Token) -> str:
    attribute = writer.attribute(marks, token.own)
    if not attribute:
        return text
    start, end = token.style or (token.end, token.end)
    return f'{text[:start].rstrip()} style="{attribute}"{text[end:]}'
