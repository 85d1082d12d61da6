"""The differences between two sources of a template, or two of its states: files, settings and variables."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import OpenReader
from notifier.errors import NotFoundError
from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.preview_pool import EditorRenderer
from notifier.template_language.template_source import TemplateSource
from notifier.template_language.variable_schema import build_schema
from notifier.templating import draft_store, settings_toml, template_store
from notifier.templating.validation import SAMPLE, SETTINGS_FILE


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a template."""

    path: str  # dotted, as in settings; an item of a list has the path of the list
    required: bool
    type: str  # of JSON; empty: any


@dataclass(frozen=True, kw_only=True)
class AlteredVariable:
    """A variable that differs between two schemas."""

    before: Variable
    after: Variable


@dataclass(frozen=True, kw_only=True)
class VariableDifferences:
    """How the variables of two schemas differ, by path."""

    added: tuple[Variable, ...]
    removed: tuple[Variable, ...]
    altered: tuple[AlteredVariable, ...]


def compare_variables(before: Mapping[str, Any], after: Mapping[str, Any]) -> VariableDifferences:
    """Compare the variables of two schemas."""
    old, new = ({variable.path: variable for variable in _iterate_variables(schema, "")} for schema in (before, after))
    common = sorted(old.keys() & new.keys())
    return VariableDifferences(
        added=tuple(new[path] for path in sorted(new.keys() - old.keys())),
        removed=tuple(old[path] for path in sorted(old.keys() - new.keys())),
        altered=tuple(AlteredVariable(before=old[path], after=new[path]) for path in common if old[path] != new[path]),
    )


def _iterate_variables(schema: Mapping[str, Any], prefix: str) -> Iterator[Variable]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, Mapping):
            yield Variable(path=f"{prefix}{name}", required=name in required, type=_format_type(inner))
            yield from _iterate_variables(inner, f"{prefix}{name}.")
    if isinstance(items := schema.get("items"), Mapping):
        yield from _iterate_variables(items, prefix)
    for choice in schema.get("anyOf", ()):
        yield from _iterate_variables(choice, prefix)


def _format_type(schema: Mapping[str, Any]) -> str:
    types = schema.get("type", ())
    return " or ".join([types] if isinstance(types, str) else types)


ASSETS_FILE = "assets.json"
"""The pinned images, which have no file in a folder."""
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_NO_END = "\\ No newline at end of file\n"


class FileChange(StrEnum):
    """How a file differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """A file that differs."""

    file: str  # as in a template's folder
    change: FileChange
    diff: str  # unified


@dataclass(frozen=True, kw_only=True)
class SourceDifference:
    """What would change if `new` replaced `old`."""

    files: dict[str, str]  # name → "added", "removed" or how many lines come and go
    settings: dict[str, tuple[Any, Any]]  # key → before, after
    added: list[str]  # variables
    removed: list[str]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """One sentence for each difference."""
        return [
            *(f"{name}: {what}" for name, what in self.files.items()),
            *(
                f"{key}: {_format_value(before)} becomes {_format_value(after)}"
                for key, (before, after) in self.settings.items()
            ),
            *(f"variable {path} is new" for path in self.added),
            *(f"variable {path} is gone" for path in self.removed),
        ]


def compare_sources(old: TemplateSource | None, new: TemplateSource | None) -> list[FileDifference]:
    """List the files that differ, within one budget for all of them; None is as an empty template."""
    before, after, budget = _list_texts(old), _list_texts(new), DiffBudget()
    return [
        FileDifference(
            file=name,
            change=_classify_change(before.get(name), after.get(name)),
            diff=diff_text(name, before.get(name, ""), after.get(name, ""), budget),
        )
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def diff_text(name: str, old: str, new: str, budget: DiffBudget | None = None) -> str:
    """Build the unified diff of one text."""
    return "\n".join((budget or DiffBudget()).unified(old.splitlines(), new.splitlines(), (name, name))) + "\n"


def _list_texts(source: TemplateSource | None) -> dict[str, str]:
    texts = build_documents(source)
    if source is None or not source.assets:
        return texts
    assets = msgspec.json.encode(source.assets, order="sorted")
    return texts | {ASSETS_FILE: msgspec.json.format(assets, indent=2).decode() + "\n"}


def _classify_change(before: str | None, after: str | None) -> FileChange:
    if before is None:
        return FileChange.ADDED
    return FileChange.REMOVED if after is None else FileChange.CHANGED


def summarize_difference(old: TemplateSource | None, new: TemplateSource) -> SourceDifference:
    """Summarise what differs; without an old source, everything is added."""
    before, after = build_documents(old), build_documents(new)
    for texts in (before, after):
        texts.pop(SETTINGS_FILE, None)  # settings are compared key by key
    old_settings = msgspec.to_builtins(old.settings) if old else {}
    new_settings = msgspec.to_builtins(new.settings) if old else {}
    variables = compare_variables(build_schema(old.sample) if old else {}, build_schema(new.sample))
    return SourceDifference(
        files=summarize_texts(before, after).files,
        settings={key: (old_settings[key], value) for key, value in new_settings.items() if old_settings[key] != value},
        added=[variable.path for variable in variables.added],
        removed=[variable.path for variable in variables.removed],
    )


def summarize_texts(old: Mapping[str, str], new: Mapping[str, str]) -> SourceDifference:
    """Summarise what differs in texts that several templates share."""
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    changed = {name: _count_lines(old.get(name), new.get(name)) for name in names}
    return SourceDifference(files=changed, settings={}, added=[], removed=[])


def _count_lines(before: str | None, after: str | None) -> str:
    if before is None or after is None:
        return _classify_change(before, after).value
    more, less = DiffBudget(size=None).count(_split_lines(before), _split_lines(after))
    return f"+{more} -{less}"


def _format_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "nothing"


def build_documents(source: TemplateSource | None) -> dict[str, str]:
    """Return the source as texts by file name; settings and sample are written in one canonical way."""
    if source is None:
        return {}
    settings, sample = settings_toml.format_settings(source.settings), format_sample(source.sample, sort=True)
    return {SETTINGS_FILE: settings, SAMPLE: sample, **source.files}


def format_sample(sample: Mapping[str, Any], *, sort: bool = False) -> str:
    """Format the sample as the text of its file."""
    return json.dumps(sample, indent=2, ensure_ascii=False, sort_keys=sort) + "\n"


def format_unified(in_database: Mapping[str, str], in_folder: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a unified diff, each with its line end: a push adds lines with a plus, and removes others."""
    for name in sorted(in_database.keys() | in_folder.keys()):
        before, after = in_database.get(name), in_folder.get(name)
        if before == after:
            continue
        names = (
            f"database/{name}\n" if before is not None else "nothing\n",
            f"files/{name}\n" if after is not None else "nothing\n",
        )
        for line in DiffBudget(size=None).unified(_split_lines(before or ""), _split_lines(after or ""), names):
            yield line if line.endswith("\n") else f"{line}\n" if line.startswith("@@") else f"{line}\n{_NO_END}"


def _split_lines(text: str) -> list[str]:
    """Split into lines with their ends; only a line feed ends a line, as in git."""
    return _LINES.findall(text)


DRAFT = "draft"


@dataclass(frozen=True, kw_only=True)
class StateDifference:
    """What differs between two states of a template."""

    from_: str  # number of a version; "0": nothing
    files: list[FileDifference]
    added: list[str]  # variables, as dotted paths
    removed: list[str]


async def compare_states(
    open_reader: OpenReader, checker: EditorRenderer, slug: str, from_: str | None, to: str
) -> StateDifference:
    """Compare two states, each `draft` or the number of a version; `from_` None: the current version.

    Raises `NotFoundError`.
    """
    async with open_reader() as connection:
        begin = from_ or str((await template_store.get_template(connection, slug)).number)
        old, old_schema = (None, {}) if begin == "0" else await _load(connection, slug, begin)
        new, new_schema = await _load(connection, slug, to)
    files = await asyncio.to_thread(compare_sources, old, new)
    if old is not None and old_schema is None:
        old_schema = (await checker.check(old)).variables_schema
    if new_schema is None:
        new_schema = (await checker.check(new)).variables_schema
    variables = compare_variables(old_schema or {}, new_schema)
    return StateDifference(
        from_=begin,
        files=files,
        added=[variable.path for variable in variables.added],
        removed=[variable.path for variable in variables.removed],
    )


async def _load(connection: AsyncConnection, slug: str, state: str) -> tuple[TemplateSource, dict[str, Any] | None]:
    if state != DRAFT:
        version = await template_store.get_version(connection, slug, int(state))
        return version.source, version.variables_schema
    stored = await draft_store.get_draft(connection, slug)
    if stored.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return await draft_store.assemble_source(connection, stored.source, slug), None
