"""Move CSS from `<style>` into `style` attributes, because many mail clients ignore `<style>`.

It works on the rendered mail: before rendering, a parser would move `{% for %}` out of tables. In a browser the mail
looks the same before and after. What cannot be moved without a change stays in `<style>`; all other bytes stay.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from notifier.mail.html_reader import STYLE_TAG, split_html
from notifier.mail.inlining.markup_tokens import INVISIBLE_ELEMENTS, MarkupToken, measure_depth, read_tokens
from notifier.mail.inlining.rule_matcher import RuleMatcher, StyleWriter, get_rule_matcher
from notifier.mail.inlining.stylesheet import Stylesheet, parse_stylesheet
from notifier.mail.limits import MAX_OUTPUT, OutputTooLargeError

MAX_STRUCTURES: Final = 128
MAX_DEPTH: Final = 500
"""Elements within each other: browsers lift them out of each other from 512 on, and css-inline crashes at thousands."""
MAX_SELECTOR_TESTS: Final = 5_000_000
"""Selectors times tags of a mail that are tested: a few tenths of a second."""
TOO_LONG_WITH_STYLES: Final = "this becomes more than 1 MiB once its styles stand in the tags."
TOO_MANY_RULES: Final = (
    f"its styles have too many rules for so many tags: at most {MAX_SELECTOR_TESTS:,} of one times the other."
)
MAX_CACHED_TAG: Final = 1000  # characters; longer ones have images in them, and do not come again

_STYLE_END = re.compile(r"</(?i:style)")
_UNREAD_TAG = re.compile(r"<[a-zA-Z]")
_STANDARDS_DOCTYPE = re.compile(r"<!doctype\s+html\s*(?:>|.*(?:xhtml 1|\.dtd|legacy-compat))", re.DOTALL)


class UnmovedRule(NamedTuple):
    """A rule that stays in `<style>`."""

    selector: str
    offset: int  # in the mail
    reason: str


class _MailStructure(NamedTuple):
    """The result for all mails that have the same tags in the same order."""

    marked: list[tuple[int, str]]  # number and marks of each token that rules select
    styles: list[tuple[int, str, bool]]  # number and text of each `<style>` that changes; whether it goes if empty
    dropped: list[int]  # numbers of the links to stylesheets, which are never followed
    writer: StyleWriter


_CachedStructure = _MailStructure | frozenset[str] | None
"""What becomes of a mail, or which attributes that depends on; None: nothing is moved."""
_NOT_CACHED: Final = frozenset({"\0"})
_structures: dict[object, _CachedStructure] = {}  # by the shapes of the tags


def inline_styles(html: str) -> str:
    """Move a document's styles into its tags; nothing is fetched. Raises `OutputTooLargeError`."""
    if not any(
        _has_movable_rules(html[tag.end() : _find_style_end(html, tag.end())]) for tag in STYLE_TAG.finditer(html)
    ):
        return html
    pieces = split_html(html)
    tokens = read_tokens(pieces[1::2])
    structure = _get_structure(pieces, tokens)
    return _rewrite_mail(pieces, tokens, structure) if structure else html


def find_unmoved_rules(html: str) -> list[UnmovedRule]:
    """Find the rules for every reader that stay in `<style>`, where some mail programs ignore them, with the reason."""
    pieces = split_html(html)
    tokens = read_tokens(pieces[1::2])
    starts = [
        sum(map(len, pieces[: 2 * number + 1])) + token.css_span[0]
        for number, token in enumerate(tokens)
        if token.css_span
    ]
    sheet = _get_mail_matcher(pieces, tokens).sheet
    unmoved = [
        UnmovedRule(text, starts[element] + offset, "its selector or what stands in it is not understood")
        for text, (element, offset) in sheet.unread
    ]
    structure = _get_structure(pieces, tokens)
    if structure:
        plan = structure.writer.plan
        reasons = {}
        for rule in plan.moved:
            names = [item.name for item in rule.declarations if (rule, item.group) in plan.unmoved]
            if names:
                reasons[rule] = f"moving {', '.join(dict.fromkeys(names))} would change which rule wins"
    else:
        reason = f"{sheet.obstacle or 'the tags can be read in more than one way'}; no rule is moved"
        reasons = dict.fromkeys([rule for rule in sheet.rules if rule.can_move][:1], reason)
    unmoved += [
        UnmovedRule(rule.selector.text, starts[rule.place[0]] + rule.place[1], reason)
        for rule, reason in reasons.items()
    ]
    return sorted(unmoved, key=attrgetter("offset", "selector"))


@lru_cache(maxsize=256)
def _has_movable_rules(css: str) -> bool:
    """Whether a `<style>` has a rule that could move; cached, as most mails share their styles."""
    return parse_stylesheet(((css, True),)).has_movable


def _find_style_end(html: str, start: int) -> int:
    end = _STYLE_END.search(html, start)
    return end.start() if end else len(html)


def _get_structure(pieces: Sequence[str], tokens: Sequence[MarkupToken]) -> _MailStructure | None:
    """The structure of the mail; None if nothing in it is moved."""
    if any("<" in text and _UNREAD_TAG.search(text) for text in pieces[::2]):
        return None
    key: tuple[object, ...] = (tuple(map(attrgetter("shape"), tokens)), tuple(map(bool, map(str.strip, pieces[::2]))))
    structure = _structures.get(key, _NOT_CACHED)
    if structure is _NOT_CACHED:
        attributes = _get_mail_matcher(pieces, tokens).sheet.attributes
        structure = _cache_structure(key, attributes or _find_structure(pieces, tokens))
    if isinstance(structure, frozenset):
        key = (*key, *(tuple(token.attributes.get(name) for token in tokens) for name in sorted(structure)))
        structure = _structures.get(key, _NOT_CACHED)
        if structure is _NOT_CACHED:
            structure = _cache_structure(key, _find_structure(pieces, tokens))
    return structure if isinstance(structure, _MailStructure) else None


def _cache_structure(key: object, structure: _CachedStructure) -> _CachedStructure:
    if len(_structures) >= MAX_STRUCTURES:
        _structures.clear()
    _structures[key] = structure
    return structure


def _get_mail_matcher(pieces: Sequence[str], tokens: Sequence[MarkupToken]) -> RuleMatcher:
    styles, is_conditional = [], False
    for number, token in enumerate(tokens):
        if token.begins_condition is not None:
            is_conditional = token.begins_condition
        if token.css_span:
            css = pieces[2 * number + 1][slice(*token.css_span)]
            styles.append((css, token.is_for_all and not is_conditional))
    return get_rule_matcher(tuple(styles))


def _find_structure(pieces: Sequence[str], tokens: Sequence[MarkupToken]) -> _MailStructure | None:
    matcher = _get_mail_matcher(pieces, tokens)
    is_unsure = any(token.is_unsure or "all" in dict(token.profile) for token in tokens)
    if is_unsure or measure_depth(tokens) > MAX_DEPTH:
        return None
    if not matcher.sheet.has_movable or _has_double_names(matcher.sheet, tokens):
        return None
    if len(matcher.sheet.rules) * len(tokens) > MAX_SELECTOR_TESTS:
        raise OutputTooLargeError(TOO_MANY_RULES)
    matched = matcher.match_elements(pieces, tokens)
    if matched is None:
        return None
    marks, kinds = matched
    writer = matcher.get_writer(kinds, _collect_names(tokens))
    if matcher.sheet.reads_styles and writer.plan.raised_own_groups:
        return None
    elements = [number for number, token in enumerate(tokens) if token.css_span]
    body = next(
        (number for number, token in enumerate(tokens) if token.name not in {"", "html", *INVISIBLE_ELEMENTS}), 0
    )
    return _MailStructure(
        marked=[(number, mark) for number, mark in enumerate(marks) if mark],
        styles=[
            (number, css, number < body)
            for number, css in zip(elements, writer.elements, strict=True)
            if css is not None
        ],
        dropped=[number for number, token in enumerate(tokens) if token.is_linked],
        writer=writer,
    )


def _has_double_names(sheet: Stylesheet, tokens: Sequence[MarkupToken]) -> bool:
    """Whether classes or ids differ in capitals only, which makes them the same without a document type."""
    doctype = next((token.shape for token in tokens if token.shape.startswith("<!doctype")), "")
    if _STANDARDS_DOCTYPE.match(doctype):
        return False
    names = _collect_names(tokens).union(*(rule.selector.names for rule in sheet.rules))
    return len({name.lower() for name in names}) < len(names)


def _collect_names(tokens: Sequence[MarkupToken]) -> frozenset[str]:
    """The tags, classes and ids of a mail."""
    classes = {f".{name}" for token in tokens for name in token.attributes.get("class", "").split()}
    return frozenset(
        classes | {f"#{token.attributes.get('id')}" for token in tokens} | {token.name for token in tokens}
    )


def _rewrite_mail(pieces: list[str], tokens: Sequence[MarkupToken], structure: _MailStructure) -> str:
    remaining = MAX_OUTPUT - sum(map(len, pieces))
    for number, marks in structure.marked:
        place = 2 * number + 1
        write = _write_styled_tag if len(pieces[place]) <= MAX_CACHED_TAG else _write_styled_tag.__wrapped__
        tag = write(structure.writer, marks, pieces[place], tokens[number])
        remaining -= len(tag) - len(pieces[place])
        if remaining < 0:
            raise OutputTooLargeError(TOO_LONG_WITH_STYLES)
        pieces[place] = tag
    for number, css, may_go in structure.styles:
        place = 2 * number + 1
        start, end = tokens[number].css_span or (0, 0)
        pieces[place] = f"{pieces[place][:start]}{css}{pieces[place][end:]}" if css or not may_go else ""
    for number in structure.dropped:
        pieces[2 * number + 1] = ""
    return "".join(pieces)


@lru_cache(maxsize=4096)
def _write_styled_tag(writer: StyleWriter, marks: str, text: str, token: MarkupToken) -> str:
    attribute = writer.write_attribute(marks, token.own_style)
    if not attribute:
        return text
    start, end = token.style_span or (token.insertion_point, token.insertion_point)
    return f'{text[:start].rstrip()} style="{attribute}"{text[end:]}'
