"""Find blocks and text of a template that its layout would drop without a message.

It checks every file of a source, also files that the sample does not render. It renders nothing itself.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Final

from jinja2 import nodes

from notifier.template_language.error_description import find_column
from notifier.template_language.sandbox import create_environment
from notifier.template_language.template_source import RenderFault, TemplateSource

_COMMENT = re.compile(r"<!--(?!\[if).*?(-->|\Z)", re.DOTALL)  # `\Z`: an open comment is scanned only once
_WRITES_NOTHING: Final = (nodes.Macro, nodes.Assign, nodes.AssignBlock, nodes.Import, nodes.FromImport, nodes.Extends)
"""Nodes that write nothing, so that they may stand outside the blocks of a template with a layout."""
_WRITES: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Include: "{% include %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
}
_BLOCK_WRAPPERS: Final[Mapping[type[nodes.Node], str]] = {
    nodes.If: "{% if %}",
    nodes.For: "{% for %}",
    nodes.With: "{% with %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.CallBlock: "{% call %}",
}
_EXAMPLE_LAYOUT: Final = '{% extends "_layouts/base.html" %}'


@dataclass(frozen=True)
class _TemplateFile:
    """A file of the source, parsed."""

    name: str
    text: str
    tree: nodes.Template

    @cached_property
    def blocks(self) -> Mapping[str, nodes.Block]:
        """All its blocks, also nested ones."""
        return {block.name: block for block in self.tree.find_all(nodes.Block)}

    @cached_property
    def parent(self) -> str | None:
        """The name of its layout, if it is a constant."""
        extends = next(self.tree.find_all(nodes.Extends), None)
        if extends is None or not isinstance(extends.template, nodes.Const):
            return None
        return str(extends.template.value)

    def fault(self, line: int, near: str, message: str, advice: str) -> RenderFault:
        column = find_column(self.text, line, near)
        return RenderFault(part=self.name, line=line, column=column, message=message, advice=advice)


def find_lost_content(source: TemplateSource) -> list[RenderFault]:
    """Find blocks and text that would be in no mail; files that cannot be parsed are left to the compiler."""
    env = create_environment(source.files, autoescape=False)
    files = {}
    for name, text in source.files.items():
        with contextlib.suppress(Exception):
            files[name] = _TemplateFile(name, text, env.parse(text))
    faults: list[RenderFault] = []
    for file in files.values():
        if next(file.tree.find_all(nodes.Extends), None) is not None:
            file_faults = [*_check_extends(file)]
            file_faults = file_faults or [*_find_outside_blocks(file), *_find_lost_blocks(_list_chain(file, files))]
            faults += sorted(file_faults, key=lambda fault: fault.line or 0)
    return faults


def _list_chain(file: _TemplateFile, files: Mapping[str, _TemplateFile]) -> list[_TemplateFile]:
    """The file with its layouts, as far as they exist."""
    chain = [file]
    while (layout := files.get(chain[-1].parent or "")) is not None and layout not in chain:
        chain.append(layout)
    return chain


def _check_extends(file: _TemplateFile) -> Iterator[RenderFault]:
    """The layout must be one file, named in quotes and outside other tags, so that its blocks are known."""
    first, *others = file.tree.find_all(nodes.Extends)
    for other in others:
        yield file.fault(other.lineno, "{%", "a template extends one layout.", f"Keep the one of line {first.lineno}.")
    if first not in file.tree.body:
        message = "“{% extends %}” stands within another tag."
        yield file.fault(first.lineno, "{%", message, f"Write it alone, at the beginning: {_EXAMPLE_LAYOUT}.")
    elif not isinstance(first.template, nodes.Const) or not isinstance(first.template.value, str):
        message = "the layout is not named in quotes, so that its blocks are not known."
        yield file.fault(first.lineno, "extends", message, f"Write its name: {_EXAMPLE_LAYOUT}.")


def _find_outside_blocks(file: _TemplateFile) -> Iterator[RenderFault]:
    """Output before `{% extends %}`, and behind it outside the blocks."""
    place = next(number for number, node in enumerate(file.tree.body) if isinstance(node, nodes.Extends))
    yield from _find_written(
        file, file.tree.body[:place], "before {% extends %}, and would be sent before the whole mail"
    )
    yield from _find_written(file, file.tree.body[place:], "outside the blocks, and would not be in the mail")


def _find_written(file: _TemplateFile, body: Sequence[nodes.Node], where: str) -> Iterator[RenderFault]:
    """Text, values and tags that write something, and tags around blocks, which have no effect."""
    for node in body:
        if isinstance(node, (nodes.Block, *_WRITES_NOTHING)):
            continue
        if isinstance(node, nodes.Output):
            yield from _find_first_visible(file, node, where)
        elif isinstance(node, tuple(_BLOCK_WRAPPERS)) and (block := next(node.find_all(nodes.Block), None)) is not None:
            yield _build_around_fault(file, node, block)
        elif isinstance(node, tuple(_WRITES)):
            yield _build_dropped_fault(file, node.lineno, "{%", f"“{_WRITES[type(node)]}” stands {where}")
        elif isinstance(node, (nodes.If, nodes.For, nodes.With, nodes.Scope)):
            branches = [branch.body for branch in getattr(node, "elif_", [])]
            for statements in (node.body, *branches, getattr(node, "else_", [])):
                yield from _find_written(file, statements, where)


def _find_first_visible(file: _TemplateFile, output: nodes.Output, where: str) -> Iterator[RenderFault]:
    """The first visible piece of the output; one fault is enough."""
    for child in output.nodes:
        if not isinstance(child, nodes.TemplateData):
            yield _build_dropped_fault(file, child.lineno, "{{", f"a value stands {where}")
            return
        visible = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n") if comment[1] else comment[0], child.data)
        if text := visible.strip():
            line = child.lineno + visible[: len(visible) - len(visible.lstrip())].count("\n")
            yield _build_dropped_fault(file, line, text.split("\n")[0].strip(), f"text stands {where}")
            return


def _build_dropped_fault(file: _TemplateFile, line: int, near: str, message: str) -> RenderFault:
    advice = "Move it into a block: {% block content %} … {% endblock %}."
    return file.fault(line, near, f"{message}.", advice)


def _build_around_fault(file: _TemplateFile, node: nodes.Node, block: nodes.Block) -> RenderFault:
    tag = _BLOCK_WRAPPERS[type(node)]
    message = f"“{tag}” around the block “{block.name}” has no effect: the layout decides whether a block is shown."
    advice = f"Write it inside: {{% block {block.name} %}} {tag} … {{% endblock %}}."
    return file.fault(node.lineno, "{%", message, advice)


def _find_lost_blocks(chain: Sequence[_TemplateFile]) -> Iterator[RenderFault]:
    """The blocks of the first file that no layout of the chain shows."""
    file, *layouts = chain
    if not layouts or layouts[-1].parent is not None:
        return  # a layout is missing, which the compiler reports
    visible, offered = _find_shown_blocks(chain), _find_shown_blocks(layouts)
    names = list(dict.fromkeys(name for layout in layouts for name in layout.blocks if name in offered))
    for name, block in file.blocks.items():
        if name in visible:
            continue
        if name in offered:
            message = f"the block “{name}” stands in another one that this template replaces, and would not be shown."
            advice = "Write {{ super() }} into the other, or this block's text."
        else:
            near = get_close_matches(name, names, n=1, cutoff=0.7)
            message = f"the layout has no block “{name}”: what stands in it would not be in the mail."
            advice = (f"Did you mean “{near[0]}”? " if near else "") + f"It has: {', '.join(names) or 'none'}."
        yield file.fault(block.lineno, f"block {name}", message, advice)


def _find_shown_blocks(chain: Sequence[_TemplateFile]) -> set[str]:
    """The blocks whose outermost body is shown, found by following the last layout from its first line."""
    bodies = {
        name: [file.blocks[name] for file in chain if name in file.blocks] for file in chain for name in file.blocks
    }
    visible: set[tuple[str, int]] = set()

    def follow(name: str, place: int) -> None:
        if name not in bodies or place >= len(bodies[name]) or (name, place) in visible:
            return
        visible.add((name, place))
        visit(bodies[name][place].body, name, place)

    def visit(statements: Sequence[nodes.Node], name: str, place: int) -> None:
        for node in statements:
            if isinstance(node, nodes.Block):
                follow(node.name, 0)
                continue
            if isinstance(node, nodes.Name) and node.name == "super":
                follow(name, place + 1)
            if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "self":
                follow(node.attr, 0)
            visit([*node.iter_child_nodes()], name, place)

    visit(chain[-1].tree.body, "", 0)
    return {name for name, place in visible if place == 0}
