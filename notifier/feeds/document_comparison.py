"""How a document differs from the revision before it: what was added, removed, changed, and what is suddenly empty."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from notifier import strict_json

Document = dict[str, Any] | list[dict[str, Any]]
"""What a feed can be: an object, or rows."""
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,39}")


def count_differences(before: Document | None, after: Document, row_key: str | None) -> tuple[int, int, int]:
    """Count added, removed and changed entries: keys of an object, or rows."""
    if before is None:
        return len(after), 0, 0
    if isinstance(before, dict) and isinstance(after, dict):
        return _compare_keys(before, after)
    if isinstance(before, dict) or isinstance(after, dict):
        return len(after), len(before), 0
    if row_key is not None and all(row_key in row for row in before):
        return _compare_keys(_index_rows(before, row_key), _index_rows(after, row_key))
    old, new = _count_rows(before), _count_rows(after)
    return (new - old).total(), (old - new).total(), 0


def _compare_keys(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[int, int, int]:
    changed = sum(1 for key in before.keys() & after.keys() if before[key] != after[key])
    return len(after.keys() - before.keys()), len(before.keys() - after.keys()), changed


def _index_rows(rows: Iterable[dict[str, Any]], row_key: str) -> dict[bytes, dict[str, Any]]:
    return {strict_json.encode_canonical(row[row_key]): row for row in rows}


def _count_rows(rows: Iterable[dict[str, Any]]) -> Counter[bytes]:
    return Counter(hashlib.sha256(strict_json.encode_canonical(row)).digest() for row in rows)


def find_emptied(before: Document, after: Document) -> str | None:
    """Find what had entries before and has none now."""
    if before and not after:
        return f"it had {_describe_size(before)}, and has none"
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            old = before.get(key)
            if value in ([], {}, None) and isinstance(old, list | dict) and old:
                return f"{show_name(key)} had {_describe_size(old)}, and has none"
    return None


def _describe_size(value: Sequence[Any] | Mapping[str, Any]) -> str:
    noun = "key" if isinstance(value, Mapping) else "row"
    return f"{len(value):,} {noun}{'' if len(value) == 1 else 's'}"


def show_name(name: str | int) -> str:
    """Show a name of the document, unless it may be data such as an address."""
    return str(name) if isinstance(name, int) or _PLAIN_NAME.fullmatch(name) else "…"
