"""`_base.json`: the versions that the files of a folder came from, so that a push recognises newer edits.

It is sorted and has one line for each template, so that git shows and merges it. It names contents by their hash, so
that it is valid for every installation that has them. A pull writes it, and a push updates it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from notifier.errors import NotifierError

BASE_FILE = "_base.json"


class BaseRecordError(NotifierError):
    """`_base.json` cannot be read: repair it, or delete it and pull."""


class FileOrigin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that a template's files came from."""

    number: int  # 0: a draft of what was never published
    hash: str  # of the version's text, its layouts included; empty as above
    files: str  # of the template's own files as they were written


@dataclass(kw_only=True)
class BaseRecord:
    """The record of a folder."""

    templates: dict[str, FileOrigin] = field(default_factory=dict)  # by slug
    layouts: dict[str, str] = field(default_factory=dict)  # name → SHA-256 of its text
    exists: bool = False  # the file exists


def read_base(root: Path) -> BaseRecord:
    """Read the record of the folder, empty if there is none. Raises `BaseError`."""
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
