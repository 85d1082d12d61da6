"""The differences between two sources, file by file, within a budget of size and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.source import TemplateSource
from notifier.templating.folder.file_diff import documents

ASSETS = "assets.json"
"""The pinned images, which have no file in a folder."""


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


def files(old: TemplateSource | None, new: TemplateSource | None) -> list[FileDifference]:
    """List the files that differ, within one budget for all of them; None is as an empty template."""
    before, after, budget = _texts(old), _texts(new), DiffBudget()
    return [
        FileDifference(
            file=name,
            change=_change(before, after, name),
            diff=_unified(name, before.get(name, ""), after.get(name, ""), budget),
        )
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def text(name: str, old: str, new: str) -> str:
    """Build the unified diff of one text."""
    return _unified(name, old, new, DiffBudget())


def _texts(source: TemplateSource | None) -> dict[str, str]:
    texts = documents(source)
    if source is None or not source.assets:
        return texts
    assets = msgspec.json.encode(source.assets, order="sorted")
    return texts | {ASSETS: msgspec.json.format(assets, indent=2).decode() + "\n"}


def _change(before: Mapping[str, str], after: Mapping[str, str], name: str) -> FileChange:
    if name not in before:
        return FileChange.ADDED
    return FileChange.CHANGED if name in after else FileChange.REMOVED


def _unified(name: str, old: str, new: str, budget: DiffBudget) -> str:
    return "\n".join(budget.unified(old.splitlines(), new.splitlines(), (name, name))) + "\n"
