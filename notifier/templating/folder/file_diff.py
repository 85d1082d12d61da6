"""The differences between two sources of a template: a summary for lists, and a unified diff for people."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.source import TemplateSource
from notifier.rendering.variables import schema_of
from notifier.templating import form
from notifier.templating.folder import settings_text
from notifier.templating.variable import differing

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_NO_END = "\\ No newline at end of file\n"


@dataclass(frozen=True, kw_only=True)
class Difference:
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
            *(f"{key}: {_shown(before)} becomes {_shown(after)}" for key, (before, after) in self.settings.items()),
            *(f"variable {path} is new" for path in self.added),
            *(f"variable {path} is gone" for path in self.removed),
        ]


def between(old: TemplateSource | None, new: TemplateSource) -> Difference:
    """Summarise what differs; without an old source, everything is added."""
    before, after = documents(old), documents(new)
    for texts in (before, after):
        texts.pop(settings_text.FILE, None)  # settings are compared key by key
    old_settings = msgspec.to_builtins(old.settings) if old else {}
    new_settings = msgspec.to_builtins(new.settings) if old else {}
    variables = differing(schema_of(old.sample) if old else {}, schema_of(new.sample))
    return Difference(
        files=of_texts(before, after).files,
        settings={key: (old_settings[key], value) for key, value in new_settings.items() if old_settings[key] != value},
        added=[variable.path for variable in variables.added],
        removed=[variable.path for variable in variables.removed],
    )


def of_texts(old: Mapping[str, str], new: Mapping[str, str]) -> Difference:
    """Summarise what differs in texts that several templates share."""
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    changed = {name: _amount(old.get(name), new.get(name)) for name in names}
    return Difference(files=changed, settings={}, added=[], removed=[])


def _amount(before: str | None, after: str | None) -> str:
    if before is None or after is None:
        return "added" if before is None else "removed"
    more, less = DiffBudget(size=None).count(_split(before), _split(after))
    return f"+{more} -{less}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "nothing"


def documents(source: TemplateSource | None) -> dict[str, str]:
    """Return the source as texts by file name; settings and sample are written in one canonical way."""
    if source is None:
        return {}
    settings, sample = settings_text.write(source.settings), sample_text(source.sample, sort=True)
    return {settings_text.FILE: settings, form.SAMPLE: sample, **source.files}


def sample_text(sample: Mapping[str, Any], *, sort: bool = False) -> str:
    """Format the sample as the text of its file."""
    return json.dumps(sample, indent=2, ensure_ascii=False, sort_keys=sort) + "\n"


def unified(old: Mapping[str, str], new: Mapping[str, str], *, old_name: str, new_name: str) -> Iterator[str]:
    """Yield the lines of a unified diff, each with its line end, file after file."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        labels = (
            f"{old_name}/{name}" if name in old else "nothing",
            f"{new_name}/{name}" if name in new else "nothing",
        )
        names = (f"{labels[0]}\n", f"{labels[1]}\n")
        for line in DiffBudget(size=None).unified(_split(before or ""), _split(after or ""), names):
            yield line if line.endswith("\n") else f"{line}\n" if line.startswith("@@") else f"{line}\n{_NO_END}"


def _split(text: str) -> list[str]:
    """Split into lines with their ends; only a line feed ends a line, as in git."""
    return _LINES.findall(text)
