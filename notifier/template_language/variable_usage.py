"""Which variables a version reads and what a caller must send, from its sample, parts and settings.

A variable has its sample's type. It is required if some part reads it without a guard such as `is defined`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from notifier.template_language import value_check
from notifier.template_language.context_filters import list_link_schemes
from notifier.template_language.expression_walk import LostError, Scope, VariableRead
from notifier.template_language.sandbox import create_environment
from notifier.template_language.template_source import (
    HTML,
    IMAGE_FUNCTIONS,
    LANGUAGE_WORDS,
    LOCALES,
    PARTS,
    RESERVED_NAMES,
    SUBJECT,
    TemplateSource,
)
from notifier.template_language.template_walk import TemplateWalk
from notifier.template_language.value_check import LIST_ITEM, ValueCheck
from notifier.template_language.variable_schema import HTTPS_PATTERN, build_schema

UNSUBSCRIBE_URL: Final = "unsubscribe_url"
"""The variable that every marketing template requires, whether or not its parts show it."""
_LINK_SCHEMA: Final = {"type": "string", "pattern": HTTPS_PATTERN, "maxLength": 900}  # it stands in a header too

VariableNames = tuple[str, ...]
"""A dotted path: the names of a path without its list items."""


class VariableUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The variables of a version."""

    schema: dict[str, Any]  # JSON Schema (draft 2020-12) of what a caller sends
    optional: list[str]  # dotted paths: those that the settings list, and those that no part needs
    undefined: list[VariableRead]  # read without a guard, and not in the sample
    unused: list[str]  # dotted paths in the sample that nothing reads; of an unread object only its own path
    unmatched: list[tuple[str, str]]  # setting and dotted path, where neither sample nor parts have such a variable


def walk_source(
    source: TemplateSource, parts: Sequence[str] = PARTS
) -> tuple[list[VariableRead], bool, list[ValueCheck]]:
    """All reads in these parts, whether they are complete, and the value checks. Raises `TemplateSyntaxError`."""
    plain, html = (create_environment(source.files, autoescape=autoescape) for autoescape in (False, True))
    reserved = RESERVED_NAMES | LANGUAGE_WORDS | ((IMAGE_FUNCTIONS | plain.globals.keys()) - source.sample.keys())
    walk = TemplateWalk(
        shape=build_schema(source.sample), reserved=reserved, plain=plain, html=html, files=source.files
    )
    walk.schemes = list(list_link_schemes(source.settings.link_schemes))
    prefixes = ["", *(f"{LOCALES}{tag}/" for tag in source.locales)]
    names = [f"{prefix}{part}" for prefix in prefixes for part in parts if f"{prefix}{part}" in source.files]
    for name in names:
        walk.parse_file(name)
    is_complete = True
    try:
        for name in names:
            walk.is_html = name.endswith(HTML)
            walk.walk_template(name, Scope())
    except (LostError, RecursionError):
        is_complete = False
    return sorted(walk.reads, key=attrgetter("file", "line", "path")), is_complete, list(walk.checks.values())


def analyze_variables(source: TemplateSource) -> VariableUsage:
    """Analyze the variables of a version. Raises Jinja's `TemplateSyntaxError`."""
    reads, all_seen, checks = walk_source(source)
    settings, shape = source.settings, build_schema(source.sample)
    marketing = settings.category == "marketing"
    demands = _ReadSummary(reads, {(UNSUBSCRIBE_URL,)} if marketing else set())
    known = set(_list_names(shape)) | demands.used
    spared = {names for names in known if demands.spares(names)} if all_seen else set()
    listed = {tuple(path.split(".")) for path in settings.optional}
    if marketing:
        listed.discard((UNSUBSCRIBE_URL,))
    optional = [".".join(names) for names in (*sorted(listed), *sorted(spared - listed))]
    schema = build_schema(source.sample, optional)
    for read in reads:
        _allow_variable(schema, read.path)
    if marketing:
        _require_variable(schema, UNSUBSCRIBE_URL, _LINK_SCHEMA)
    _mark_variables(schema, settings.public, {"x-public": True})
    _mark_variables(schema, settings.secret, {"writeOnly": True})
    value_check.add_checks(schema, checks, settings.public)
    paths = [(name, path) for name in ("optional", "public", "secret") for path in getattr(settings, name)]
    return VariableUsage(
        schema=schema,
        optional=optional,
        undefined=list(dict.fromkeys(_list_undefined(reads, shape))),
        unused=[".".join(names) for names in _list_unused(shape, demands)] if all_seen else [],
        unmatched=[(name, path) for name, path in paths if not _is_known_variable(shape, path, demands)],
    )


def list_subject_paths(source: TemplateSource) -> list[list[str]]:
    """The paths of the variables that the subjects of all locales show; "[]" for the items of a list."""
    reads, _, _ = walk_source(source, [SUBJECT])
    return [list(path) for path in sorted({read.path for read in reads if read.whole})]


class _ReadSummary:
    """What the reads say about each dotted path."""

    def __init__(self, reads: Iterable[VariableRead], needed: set[VariableNames]) -> None:
        self.used = set(needed)
        self.needed = set(needed)  # somewhere without a guard
        self.whole: set[VariableNames] = set()  # shown or passed on with everything in it
        for read in reads:
            names: VariableNames = ()
            for length, step in enumerate(read.path, start=1):
                if step == LIST_ITEM:
                    continue
                names = (*names, step)
                self.used.add(names)
                if length > read.present and not (read.guarded and length == len(read.path)):
                    self.needed.add(names)
            if read.whole:
                self.whole.add(names)

    def spares(self, names: VariableNames) -> bool:
        """Whether no part needs the variable."""
        return names not in self.needed and not any(names[:length] in self.whole for length in range(1, len(names)))

    def reads(self, names: VariableNames) -> bool:
        """Whether some part reads the variable, alone or as part of an object."""
        return names in self.used or any(names[:length] in self.whole for length in range(1, len(names)))


def _get_item_schema(shape: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the innermost items of nested lists; other schemas are returned as they are."""
    while "items" in shape:
        shape = shape["items"]
    return shape


def _list_names(shape: Mapping[str, Any], base: VariableNames = ()) -> Iterator[VariableNames]:
    for name, inner in _get_item_schema(shape).get("properties", {}).items():
        yield (*base, name)
        yield from _list_names(inner, (*base, name))


def _list_unused(shape: Mapping[str, Any], demands: _ReadSummary) -> Iterator[VariableNames]:
    for names in _list_names(shape):
        if not demands.reads(names) and (len(names) == 1 or demands.reads(names[:-1])):
            yield names


def _list_undefined(reads: Iterable[VariableRead], shape: Mapping[str, Any]) -> Iterator[VariableRead]:
    """Reads without a guard that are not in the sample; of guarded reads, the object that is not in the sample."""
    for read in reads:
        known = _count_known_steps(shape, read.path)
        if not read.guarded and known < len(read.path):
            yield VariableRead(path=read.path, file=read.file, line=read.line, guarded=False)
        elif read.guarded and read.present <= known < len(read.path) - 1:
            yield VariableRead(path=read.path[: known + 1], file=read.file, line=read.line, guarded=False)


def _count_known_steps(shape: Mapping[str, Any], path: tuple[str, ...]) -> int:
    """How many leading steps of the path the sample has; all if it does not describe the rest."""
    for length, step in enumerate(path):
        if shape.get("type", "object" if "properties" in shape else None) is None:
            return len(path)
        if step == LIST_ITEM and shape["type"] == "array":
            shape = shape.get("items", {})
        elif step in shape.get("properties", {}):
            shape = shape["properties"][step]
        elif shape["type"] == "object" and "properties" not in shape and step != LIST_ITEM:
            return len(path)
        else:
            return length
    return len(path)


def _allow_variable(schema: dict[str, Any], path: tuple[str, ...]) -> None:
    """Allow a variable that some part reads and the sample does not have; it may have any type."""
    for step in path:
        if step == LIST_ITEM:
            if "items" not in schema:
                return
            schema = schema["items"]
        elif "properties" not in schema:
            return
        elif step not in schema["properties"]:
            schema["properties"][step] = {}
            return
        else:
            schema = schema["properties"][step]


def _require_variable(schema: dict[str, Any], name: str, variable_schema: Mapping[str, Any]) -> None:
    schema["properties"] = schema["properties"] | {name: dict(variable_schema)}
    schema["required"] = sorted({*schema["required"], name})


def _mark_variables(schema: dict[str, Any], paths: Iterable[str], mark: Mapping[str, Any]) -> None:
    for path in paths:
        node: Any = schema
        for name in path.split("."):
            node = _get_item_schema(node).get("properties", {}).get(name, {})
        node.update(mark)


def _is_known_variable(shape: Mapping[str, Any], path: str, demands: _ReadSummary) -> bool:
    names = tuple(path.split("."))
    if demands.reads(names):
        return True
    for name in names:
        shape = _get_item_schema(shape)
        if "properties" not in shape:
            return shape.get("type", "object") in ("object", "array")
        if name not in shape["properties"]:
            return False
        shape = shape["properties"][name]
    return True
