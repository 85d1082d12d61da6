"""What a subject may hold of what callers send: one line of at most 998 characters (RFC 5322 §2.1.1)."""

from collections.abc import Iterable
from typing import Any

from notifier.errors import Fault
from notifier.rendering.headers import FORBIDDEN
from notifier.rendering.pointer import at_path

LONGEST = 998
"""Characters."""


def unfit(value: str, pointer: str) -> Fault | None:
    """What no header field can hold of a value."""
    found = FORBIDDEN.search(value)
    if found is None:
        return None
    return Fault(pointer, "invalid_header_value", f"U+{ord(found[0]):04X} cannot stand in a mail header")


def faults_in(paths: Iterable[list[str]], variables: Any) -> list[Fault]:
    """What is wrong with the variables that a subject shows, each with a pointer below `/variables`."""
    faults = []
    for pointer, value in (found for path in paths for found in at_path(variables, path, "/variables")):
        if not isinstance(value, str):
            continue
        if fault := unfit(value, pointer):
            faults.append(fault)
        elif len(value) > LONGEST:
            detail = f"it stands in the subject, which has at most {LONGEST} characters"
            faults.append(Fault(pointer, "too_long", detail))
    return faults
