"""The maximum size of a refusal: how many faults it lists, and how long their texts are."""

import json
from collections.abc import Sequence
from typing import Any, Final

from notifier.errors import Fault

MAX_FAULTS: Final = 100  # listed faults of a reply; the others are counted
MAX_POINTER_BYTES: Final = 500  # of a fault's pointer, as JSON
MAX_FAULT_DETAIL_BYTES: Final = 1_000  # of a fault's detail, as JSON
MAX_DETAIL_BYTES: Final = 4_000  # of a problem's `detail`, as JSON
MAX_FAULTS_BYTES: Final = 56 * 1024  # of all listed faults, so that a refusal stays below 64 KiB
_BYTES_OF_A_CHARACTER = 6
"""The longest form of a character in JSON: `\\u0001`."""
_ELLIPSIS = "…"


def shorten_text(text: str, max_bytes: int) -> str:
    """Shorten a text to `max_bytes` bytes of JSON; a shortened text ends with an ellipsis."""
    if len(text) * _BYTES_OF_A_CHARACTER <= max_bytes:
        return text
    beginning = text[:max_bytes]
    if beginning == text and _measure_json(text) <= max_bytes:
        return text
    while _measure_json(beginning) > max_bytes - len(_ELLIPSIS.encode()):
        beginning = beginning[: len(beginning) * 7 // 8]
    return beginning + _ELLIPSIS


def _measure_json(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode(errors="replace")) - len('""')


class FaultLister:
    """Lists the faults of one reply up to its limits, and counts the others."""

    def __init__(self, *, max_faults: int = MAX_FAULTS, max_bytes: int = MAX_FAULTS_BYTES) -> None:
        self.faults_left = max_faults
        self._bytes_left = max_bytes

    def list_faults(self, faults: Sequence[Fault], *, at_least: int = 0) -> tuple[list[dict[str, str]], int]:
        """List faults within the limits; returns them and the number of the others.

        `at_least` faults are listed even above the maximum number, but never above the maximum of bytes.
        """
        listed: list[dict[str, str]] = []
        for fault in faults[: max(self.faults_left, at_least)]:
            item = {
                "pointer": shorten_text(fault.pointer, MAX_POINTER_BYTES),
                "code": fault.code,
                "detail": shorten_text(fault.detail, MAX_FAULT_DETAIL_BYTES),
            }
            size = len(json.dumps(item, ensure_ascii=False).encode(errors="replace"))
            if size > self._bytes_left:
                break
            self._bytes_left -= size
            self.faults_left -= 1
            listed.append(item)
        return listed, len(faults) - len(listed)


def get_common_code(faults: Sequence[Fault]) -> str:
    """Get the code of a refusal: the code of its faults if all have the same."""
    codes = {fault.code for fault in faults}
    return codes.pop() if len(codes) == 1 else "invalid_request"


def build_more_errors(more: int) -> dict[str, Any]:
    """Build the member that says how many faults are not listed; empty if all are listed."""
    return {"more_errors": more} if more else {}
