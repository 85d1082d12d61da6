"""How large a refusal may become, whatever was sent: how many faults it lists, and how much text stands in each."""

import json
from collections.abc import Sequence
from typing import Any, Final

from notifier.errors import Fault

MAX_FAULTS: Final = 100  # faults that one reply lists; the others are counted
MAX_POINTER_BYTES: Final = 500  # of a fault's pointer, as JSON; the rest is cut off
MAX_FAULT_DETAIL_BYTES: Final = 1_000  # of a fault's sentence, as JSON; the rest is cut off
MAX_DETAIL_BYTES: Final = 4_000  # of a problem's `detail`, as JSON; the rest is cut off
MAX_FAULTS_BYTES: Final = 56 * 1024  # of all faults that one reply lists, so that a refusal stays below 64 KiB
_BYTES_OF_A_CHARACTER = 6
"""At most, in JSON: `\\u0001`."""
_ELLIPSIS = "…"


def shorten_text(text: str, max_bytes: int) -> str:
    """The text, or as much of its beginning as has at most so many bytes in JSON, and an ellipsis."""
    if len(text) * _BYTES_OF_A_CHARACTER <= max_bytes:
        return text
    beginning = text[:max_bytes]
    if beginning == text and _measure_json(text) <= max_bytes:
        return text
    room = max_bytes - len(_ELLIPSIS.encode())
    while _measure_json(beginning) > room:
        beginning = beginning[: len(beginning) * 7 // 8]
    return beginning + _ELLIPSIS


def _measure_json(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode(errors="replace")) - len('""')


class FaultLister:
    """Lists faults for one reply until there is no more room, and counts the others."""

    def __init__(self, *, max_faults: int = MAX_FAULTS, max_bytes: int = MAX_FAULTS_BYTES) -> None:
        self.faults_left = max_faults
        self._bytes_left = max_bytes

    def list_faults(self, faults: Sequence[Fault], *, at_least: int = 0) -> tuple[list[dict[str, str]], int]:
        """The faults as a reply shows them, as far as there is room, and how many others there are.

        So many of them are listed even if there is room for no more faults, as long as there is room for bytes.
        """
        listed: list[dict[str, str]] = []
        for fault in faults[: max(self.faults_left, at_least)]:
            shown = {
                "pointer": shorten_text(fault.pointer, MAX_POINTER_BYTES),
                "code": fault.code,
                "detail": shorten_text(fault.detail, MAX_FAULT_DETAIL_BYTES),
            }
            size = len(json.dumps(shown, ensure_ascii=False).encode(errors="replace"))
            if size > self._bytes_left:
                break
            self._bytes_left -= size
            self.faults_left -= 1
            listed.append(shown)
        return listed, len(faults) - len(listed)


def get_common_code(faults: Sequence[Fault]) -> str:
    """The code of a refusal: that of its faults when they agree on one."""
    codes = {fault.code for fault in faults}
    return codes.pop() if len(codes) == 1 else "invalid_request"


def build_more_errors(more: int) -> dict[str, Any]:
    """The member that says how many faults are not listed; none if all are."""
    return {"more_errors": more} if more else {}
