"""Reads the options of a schedule's action: each with its type and limit, and a fault for each mistake."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from notifier.errors import Fault, escape_pointer

MAX_TEXT_LENGTH = 320
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that PostgreSQL does not store."""


class OptionReader:
    """Reads options one by one; `faults` has what was wrong with those that were read, and the unknown ones."""

    def __init__(self, options: Mapping[str, Any], known: Collection[str], *, pointer: str) -> None:
        self._options = options
        self._pointer = pointer
        names = ", ".join(sorted(known))
        self.faults = [
            Fault(self._point_to(name), "unknown_field", f"this action has no such option; it has: {names}")
            for name in options
            if name not in known
        ]

    def read_text(self, name: str, *, required: bool = False, max_length: int = MAX_TEXT_LENGTH) -> str | None:
        """Read a text; None if it is missing or has a fault."""
        value = self._options.get(name)
        if value is None:
            if required:
                self._add_fault(name, "missing_field", f"this action needs the option `{name}`")
            return None
        if not isinstance(value, str) or not 0 < len(value) <= max_length or _UNSTORABLE.search(value):
            self._add_fault(name, "invalid_value", f"a text of 1 to {max_length} characters, without NUL")
            return None
        return value

    def read_texts(self, name: str, *, most: int, max_length: int = MAX_TEXT_LENGTH) -> list[str]:
        """Read a list of texts; empty if it is missing or has a fault."""
        value = self._options.get(name)
        if value is None:
            return []
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not is_list or len(value) > most or not all(_is_text(item, max_length) for item in value):
            self._add_fault(name, "invalid_value", f"a list of at most {most} texts of 1 to {max_length} characters")
            return []
        return list(value)

    def read_choice(self, name: str, choices: Collection[str]) -> str | None:
        """Read one of these values; None if it is missing or has a fault."""
        value = self._options.get(name)
        if value is None or value in choices:
            return value
        self._add_fault(name, "invalid_value", f"one of: {', '.join(choices)}")
        return None

    def read_object(self, name: str) -> dict[str, Any]:
        """Read a JSON object; empty if it is missing or has a fault."""
        value = self._options.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._add_fault(name, "invalid_value", "an object of names and values")
            return {}
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            self._add_fault(name, "invalid_value", "only values that JSON has: a time is a text")
            return {}
        if _UNSTORABLE.search(text) or "\\u0000" in text:
            self._add_fault(name, "invalid_value", "a text in it has NUL, which no mail can show")
            return {}
        return dict(value)

    def _add_fault(self, name: str, code: str, detail: str) -> None:
        self.faults.append(Fault(self._point_to(name), code, detail))

    def _point_to(self, name: str) -> str:
        return f"{self._pointer}/{escape_pointer(str(name))}"


def _is_text(value: Any, max_length: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= max_length and not _UNSTORABLE.search(value)
