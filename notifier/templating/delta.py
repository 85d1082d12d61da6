"""What differs between two sources, file by file, at a cost that is bounded whatever they say."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from notifier.rendering.source import TemplateSource
from notifier.templating.folder.file_diff import documents

ASSETS = "assets.json"
"""What pins the images, which no folder has."""
MOST_LINES = 1000
"""Lines of a file that are compared one with each other; with more of them somebody could keep us busy for minutes."""


class FileChange(StrEnum):
    """What became of a file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """One file that is not the same."""

    file: str  # as in a template's folder
    change: FileChange
    diff: str  # unified


def files(old: TemplateSource | None, new: TemplateSource | None) -> list[FileDifference]:
    """The files that differ; None is as an empty template."""
    before, after = _texts(old), _texts(new)
    return [
        FileDifference(file=name, change=_change(before, after, name), diff=_unified(before, after, name))
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def text(name: str, old: str, new: str) -> str:
    """The unified diff of one text."""
    return _unified({name: old}, {name: new}, name)


def _texts(source: TemplateSource | None) -> dict[str, str]:
    """All that a source says, as files."""
    told = documents(source)
    if source is None or not source.assets:
        return told
    assets = msgspec.json.encode(source.assets, order="sorted")
    return told | {ASSETS: msgspec.json.format(assets, indent=2).decode() + "\n"}


def _change(before: Mapping[str, str], after: Mapping[str, str], name: str) -> FileChange:
    if name not in before:
        return FileChange.ADDED
    return FileChange.CHANGED if name in after else FileChange.REMOVED


def _unified(before: Mapping[str, str], after: Mapping[str, str], name: str) -> str:
    old, new = (one.get(name, "").splitlines() for one in (before, after))
    compare = _in_one if max(len(old), len(new)) > MOST_LINES else difflib.unified_diff
    return "\n".join(compare(old, new, name, name, lineterm="")) + "\n"


def _in_one(old: list[str], new: list[str], fromfile: str, tofile: str, *, lineterm: str) -> Iterator[str]:
    """One hunk, from the first line that differs to the last."""
    shortest = min(len(old), len(new))
    first = next((at for at in range(shortest) if old[at] != new[at]), shortest)
    last = next((at for at in range(shortest - first) if old[-1 - at] != new[-1 - at]), shortest - first)
    gone, come = old[first : len(old) - last], new[first : len(new) - last]
    yield f"--- {fromfile}{lineterm}"
    yield f"+++ {tofile}{lineterm}"
    yield f"@@ -{first + 1},{len(gone)} +{first + 1},{len(come)} @@{lineterm}"
    yield from (f"-{line}" for line in gone)
    yield from (f"+{line}" for line in come)
