"""What a push or a pull did to each template, and what the files of a folder came from (`_base.json`).

`_base.json` is sorted and has one line for each template, so that git shows and merges it. It names contents by their
hash, so that it is valid for every installation that has them. A pull writes it, and a push updates it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

from notifier.errors import NotifierError
from notifier.template_language.template_source import TemplateSource
from notifier.templating.template_store import select_own_parts

BASE_FILE = "_base.json"


class PushChange(StrEnum):
    """What pushing a template or a layout did, or would do."""

    CREATED = "created"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"  # only new templates were to be pushed
    REFUSED = "refused"


class PullChange(StrEnum):
    """What pulling a template or a layout did, or would do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"  # edited in the folder only
    GONE = "gone"  # the database does not have it any more
    REFUSED = "refused"  # edited on both sides


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """One template or layout after a push or a pull."""

    slug: str  # or the layout's name
    number: int  # of the version, or the layout's revision; of a dry run: the one that it would be
    change: PushChange | PullChange
    why: str = ""  # it was refused, or is gone
    differs: Sequence[str] = field(default=(), compare=False)  # a sentence for each difference to what is replaced


class SyncRefusedError(NotifierError):
    """Newer edits would be lost; nothing was written."""

    def __init__(self, message: str, refused: Iterable[SyncResult]) -> None:
        self.refused = tuple(refused)
        super().__init__(f"{message}: " + "; ".join(f"{result.slug}: {result.why}" for result in self.refused))


class BaseRecordError(NotifierError):
    """`_base.json` cannot be read: repair it, or delete it and pull."""


class FileOrigin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that a template's files came from."""

    number: int  # 0: a draft of a template that was never published
    hash: str  # of the version's text, its layouts included; empty for such a draft
    files: str  # of the template's own files as they were written


@dataclass(kw_only=True)
class BaseRecord:
    """The content of `_base.json`."""

    templates: dict[str, FileOrigin] = field(default_factory=dict)  # by slug
    layouts: dict[str, str] = field(default_factory=dict)  # name → SHA-256 of its text
    exists: bool = False  # the file exists


def hash_own_parts(source: TemplateSource) -> str:
    """Hash the template's own files."""
    return select_own_parts(source).content_hash()


def hash_layout(text: str) -> str:
    """Hash a layout."""
    return sha256(text.encode()).hexdigest()


def read_base(root: Path) -> BaseRecord:
    """Read the record of the folder, empty if there is none. Raises `BaseRecordError`."""
    try:
        text = (root / BASE_FILE).read_bytes()
    except FileNotFoundError:
        return BaseRecord()
    try:
        record = msgspec.json.decode(text, type=dict[str, dict[str, FileOrigin | str]])
        return BaseRecord(
            templates=msgspec.convert(record.get("templates", {}), dict[str, FileOrigin]),
            layouts=msgspec.convert(record.get("layouts", {}), dict[str, str]),
            exists=True,
        )
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BaseRecordError(
            f"{root / BASE_FILE} cannot be read ({error}): repair it, or delete it and pull"
        ) from error


def write_base(root: Path, base: BaseRecord) -> None:
    """Write the record beside the templates."""
    templates = {slug: msgspec.to_builtins(origin) for slug, origin in base.templates.items()}
    text = f'{{\n"templates": {_format_table(templates)},\n"layouts": {_format_table(base.layouts)}\n}}\n'
    (root / BASE_FILE).write_bytes(text.encode())


def _format_table(entries: Mapping[str, object]) -> str:
    lines = [f"  {json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
    return "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"
