"""Contextual escaping: each value of an HTML template is protected as its place in the HTML demands.

The places are found once, when the template is compiled. Text and quoted attributes need nothing but Jinja's escaping.
Links, styles and unquoted attributes get a filter of `context_filters`. A value in a tag, a script or an event handler
is refused.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateAssertionError, TemplateError, TemplateSyntaxError

from notifier.template_language.context_filters import (
    ENDS,
    LINK_FILTER,
    LIST_ENTRY_FILTER,
    PATH,
    SCHEME,
    START,
    STYLE_FILTER,
    UNQUOTED_FILTER,
)
from notifier.template_language.html_position import (
    ADDRESS_LIST_ATTRIBUTES,
    IMAGE_ATTRIBUTES,
    LINK_ATTRIBUTES,
    HtmlPosition,
    HtmlState,
)

_ADVICE = 'Values stand between tags, or in quotes behind “=”, as in title="{{ name }}".'
_SEPARATE_OUTPUT = (nodes.Macro, nodes.AssignBlock)
"""Their bodies are written somewhere else, as markup of their own."""
_ACTIVE_MARKUP = re.compile(
    rf"<(?:style|script)|\b(?:{'|'.join(sorted(LINK_ATTRIBUTES | IMAGE_ATTRIBUTES))})\s*=", re.IGNORECASE
)
"""Markup that a filter must not cut: links, styles and scripts."""
_ELSEWHERE = (nodes.Extends, nodes.Include, nodes.CallBlock)


class ForbiddenTemplateError(TemplateSyntaxError):
    """A template contains something that is not allowed; `advice` says what to write instead."""

    def __init__(self, message: str, advice: str, lineno: int, name: str | None = None) -> None:
        super().__init__(message, lineno, name)
        self.advice = advice


def refuse_unknown(template: nodes.Template, environment: Environment, name: str | None) -> None:
    """Refuse unknown filters and tests, also in branches that no sample takes, and `{% autoescape %}`."""
    for node in template.find_all((nodes.Filter, nodes.Test, nodes.ScopedEvalContextModifier)):
        if isinstance(node, nodes.ScopedEvalContextModifier):
            advice = "Take it out: variables are always escaped in HTML, and never in text."
            raise ForbiddenTemplateError("{% autoescape %} is not available.", advice, node.lineno, name)
        if isinstance(node, nodes.Filter) and node.name not in environment.filters:
            raise TemplateAssertionError(f"No filter named {node.name!r}.", node.lineno, name)
        if isinstance(node, nodes.Test) and node.name not in environment.tests:
            raise TemplateAssertionError(f"No test named {node.name!r}.", node.lineno, name)
    _refuse_similar_names(template, name)


def _refuse_similar_names(template: nodes.Template, name: str | None) -> None:
    """Refuse names that differ only in their Unicode form: Python treats them as one name (PEP 3131)."""
    seen: dict[str, str] = {}
    for node in template.find_all((nodes.Name, nodes.Block, nodes.Macro)):
        word: str = node.name  # type: ignore[attr-defined]
        plain = unicodedata.normalize("NFKC", word)
        if seen.setdefault(plain, word) != word:
            message = f"“{word}” and “{seen[plain]}” are the same name, written with other characters."
            raise ForbiddenTemplateError(message, "Write it in the same way everywhere.", node.lineno, name)


def guard_values(template: nodes.Template, environment: Environment, name: str | None) -> None:
    """Put the right filter around each value. Raises `ForbiddenTemplateError` where no value may stand."""
    blocks = _locate_layout_blocks(template, environment, {name})
    _ContextGuard(environment, name, blocks).walk(template.body, HtmlPosition())


def _parse_file(environment: Environment, name: str) -> nodes.Template | None:
    """Parse another file; None if that fails, which is reported where the file is compiled."""
    try:
        return environment.parse(environment.loader.get_source(environment, name)[0]) if environment.loader else None
    except TemplateError:
        return None


def _locate_layout_blocks(
    template: nodes.Template, environment: Environment, seen: AbstractSet[str | None]
) -> Mapping[str, HtmlPosition]:
    """The position of each block in the layouts: a block is written there, not where it is defined."""
    extends = next(template.find_all(nodes.Extends), None)
    if extends is None or not isinstance(extends.template, nodes.Const) or extends.template.value in seen:
        return {}
    name = extends.template.value
    if (layout := _parse_file(environment, name)) is None:
        return {}
    guard = _ContextGuard(environment, name, _locate_layout_blocks(layout, environment, seen | {name}))
    try:
        guard.walk(layout.body, HtmlPosition())
    except TemplateError:  # reported when the layout is compiled
        return {}
    return guard.blocks


def _has_only_text(included: nodes.Include, environment: Environment) -> bool:
    """Whether an included file contains no values; its own guard checks the rest."""
    if not isinstance(included.template, nodes.Const):
        return False
    file = _parse_file(environment, included.template.value)
    if file is None:
        return True
    pieces = (piece for output in file.find_all(nodes.Output) for piece in output.nodes)
    return all(isinstance(piece, nodes.TemplateData) for piece in pieces) and not any(file.find_all(_ELSEWHERE))


def _leaves_open(included: nodes.Include, environment: Environment) -> bool:
    """Whether a file that may be included ends inside a tag, a style or the like; what follows is guarded as text."""
    named = included.template
    items = named.items if isinstance(named, (nodes.List, nodes.Tuple)) else [named]
    names = [item.value for item in items if isinstance(item, nodes.Const)]
    if len(names) < len(items):  # a value names it: any of them
        names = environment.list_templates()
    for name in names:
        file = _parse_file(environment, name) or nodes.Template([])
        with suppress(TemplateError):  # reported when the file is compiled
            end = _ContextGuard(environment, name, {}, looks_inside=False).walk(file.body, HtmlPosition())
            if end.state is not HtmlState.TEXT:
                return True
    return False


class _ContextGuard:
    def __init__(
        self,
        environment: Environment,
        name: str | None,
        blocks: Mapping[str, HtmlPosition],
        *,
        looks_inside: bool = True,
    ) -> None:
        self._looks_inside = looks_inside  # at the files that it includes
        self._environment = environment
        self._name = name
        self._in_filter = 0
        self.blocks = dict(blocks)  # where each begins in the mail

    def walk(self, body: Sequence[nodes.Node], position: HtmlPosition) -> HtmlPosition:
        """Guard a body in the order in which it is written. Returns the position of its end."""
        for node in body:
            self._refuse_misplaced_piece(node, position)
            if isinstance(node, nodes.Output):
                position = self._guard_output(node, position)
            else:
                position = self._walk_node(node, position)
        return position

    def _walk_node(self, node: nodes.Node, position: HtmlPosition) -> HtmlPosition:
        if isinstance(node, nodes.If):
            bodies = [node.body, *(branch.body for branch in node.elif_), node.else_]
            return self._join_branches([self.walk(body, position) for body in bodies], node)
        if isinstance(node, nodes.For):
            ends = [self.walk(node.body, position), position, self.walk(node.else_, position)]
            return self._join_branches(ends, node)
        if isinstance(node, (*_SEPARATE_OUTPUT, nodes.CallBlock)):
            self._require_closed(self.walk(node.body, HtmlPosition()), HtmlPosition(), node)
        if isinstance(node, nodes.Block):
            begins = self.blocks.setdefault(node.name, position)
            end = self._require_closed(self.walk(node.body, begins), begins, node)
            return end if begins is position else position  # it is written at its place in the layout
        if isinstance(node, nodes.FilterBlock):
            self._in_filter += 1
            end = self._require_closed(self.walk(node.body, position), position, node)
            self._in_filter -= 1
            return end
        if isinstance(node, (nodes.With, nodes.Scope)):
            return self.walk(node.body, position)
        return position

    def _refuse_misplaced_piece(self, node: nodes.Node, position: HtmlPosition) -> None:
        """Refuse blocks, files and calls where only single values can be guarded."""
        if isinstance(node, (nodes.CallBlock, nodes.FilterBlock)) and (position.is_style or position.is_link):
            advice = "Put the filter on the value, as in {{ name | upper }}, or the value into a macro's brackets."
            self._refuse(node, "a call or a filter cannot stand around what is in a style or a link.", advice)
        if isinstance(node, (nodes.Block, nodes.Include, nodes.CallBlock, nodes.FilterBlock)) and position.needs_guard:
            self._refuse(node, "a block, a file or a call cannot stand in this attribute or tag.")
        if isinstance(node, nodes.Include) and position.is_style and not _has_only_text(node, self._environment):
            advice = "Write the values in a <style> of this file, and leave only what is fixed in the other."
            self._refuse(node, "a file with values cannot be included in a style.", advice)
        if isinstance(node, nodes.Include) and self._looks_inside and _leaves_open(node, self._environment):
            advice = "Close there the tags' quotes and brackets, and the <style> and comments, that it opens."
            self._refuse(node, "the included file leaves something open.", advice)

    def _require_closed(self, end: HtmlPosition, begin: HtmlPosition, node: nodes.Node) -> HtmlPosition:
        """The end of a piece that is written or replaced as a whole: it must end in the position where it began."""
        if not end.normalize().matches(begin.normalize()):
            advice = "Close in it the tags' quotes and brackets, and the <style> and comments, that it opens."
            self._refuse(node, "this piece of HTML leaves something open.", advice)
        return end

    def _join_branches(self, ends: Sequence[HtmlPosition], node: nodes.Node) -> HtmlPosition:
        """The position behind an {% if %}; its branches must end in the same position."""
        settled = [end.normalize() for end in ends]
        if any(not end.matches(settled[0]) for end in settled):
            advice = "Close in each branch the tags' quotes and brackets that it opens."
            self._refuse(node, "the branches end in different places of the HTML.", advice)
        return replace(settled[0], is_scheme_fixed=all(end.is_scheme_fixed for end in settled))

    def _guard_output(self, node: nodes.Output, position: HtmlPosition) -> HtmlPosition:
        guarded: list[nodes.Expr] = []
        for child, following in _pair_with_following(node.nodes):
            if isinstance(child, nodes.TemplateData):
                position = position.advance(child.data)
                self._refuse_unsafe(position, child)
                guarded.append(child)
            else:
                guarded.append(self._guard_value(child, position, following))
                position = position.advance_over_value()
        node.nodes = guarded
        return position

    def _refuse_unsafe(self, position: HtmlPosition, child: nodes.TemplateData) -> None:
        """Refuse text of the template itself that is dangerous, or that mail programs read in different ways."""
        if position.is_redirect:
            self._refuse(child, "a mail cannot send its reader to another page by itself.", "Take the <meta> tag out.")
        if position.is_ambiguous:
            message = f"there is markup in <{position.element}>, which mail programs do not read in the same way."
            self._refuse(child, message, f"Leave only text between <{position.element}> and its end.")
        if self._in_filter and _ACTIVE_MARKUP.search(child.data):
            advice = "Move it out of {% filter %}."
            self._refuse(child, "a link, a style or a script cannot stand in {% filter %}, which could cut it.", advice)
        if position.runs_code:
            advice = "A link begins with https://, http://, mailto: or tel:."
            self._refuse(child, "this link would run code.", advice)

    def _guard_value(self, value: nodes.Expr, position: HtmlPosition, following: str) -> nodes.Expr:
        if position.state in (HtmlState.TAG, HtmlState.NAME):
            self._refuse(value, "a value cannot stand here in a tag.")
        if position.is_code:
            self._refuse(value, "a value cannot stand in a script.")
        if position.refuses_values:
            advice = "Write a fixed text there, or leave the attribute out."
            self._refuse(value, "a value cannot stand in this attribute.", advice)
        if position.is_link and position.attribute in ADDRESS_LIST_ATTRIBUTES:
            value = _wrap_value(value, LIST_ENTRY_FILTER)
        if position.is_style:
            value = _wrap_value(value, STYLE_FILTER)
        elif position.is_link and not position.is_scheme_fixed:
            follows = _classify_following(following, position.quote)
            value = _wrap_value(value, LINK_FILTER, nodes.Const(follows), nodes.Const(position.is_image))
        if position.is_bare:
            value = _wrap_value(value, UNQUOTED_FILTER)
        return value

    def _refuse(self, node: nodes.Node, message: str, advice: str = _ADVICE) -> None:
        raise ForbiddenTemplateError(message, advice, node.lineno, self._name)


def _pair_with_following(children: Sequence[nodes.Expr]) -> Iterator[tuple[nodes.Expr, str]]:
    """Each piece with the text right behind it, or an empty text if that is not known."""
    for number, child in enumerate(children):
        behind = children[number + 1] if number + 1 < len(children) else None
        yield child, behind.data if isinstance(behind, nodes.TemplateData) else ""


def _classify_following(following: str, quote: str) -> str:
    if following.startswith(":"):
        return SCHEME
    ends = following[:1] == quote if quote else following[:1].isspace() or following[:1] == ">"
    if following and ends:
        return ENDS
    return PATH if following[:1] and following[0] in "/?#" else START


def _wrap_value(value: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Expr:
    guarded = nodes.Filter(value, name, list(arguments), [], None, None, lineno=value.lineno)
    guarded.set_environment(value.environment)  # type: ignore[arg-type]
    return guarded
