"""Check the variables that a subject shows: one line of at most 998 characters (RFC 5322 §2.1.1)."""

from collections.abc import Iterable
from typing import Any

from notifier.errors import Fault
from notifier.mail.header_fields import FORBIDDEN_IN_HEADER
from notifier.template_language.value_check import find_values

MAX_SUBJECT_LENGTH = 998  # characters


def find_header_fault(value: str, pointer: str) -> Fault | None:
    """Find a character of the value that no header field can have."""
    match = FORBIDDEN_IN_HEADER.search(value)
    if match is None:
        return None
    return Fault(pointer, "invalid_header_value", f"U+{ord(match[0]):04X} cannot stand in a mail header")


def find_subject_faults(paths: Iterable[list[str]], variables: Any) -> list[Fault]:
    """Find what is wrong with the variables that a subject shows, each with a pointer below `/variables`."""
    faults = []
    for pointer, value in (item for path in paths for item in find_values(variables, path, "/variables")):
        if not isinstance(value, str):
            continue
        if fault := find_header_fault(value, pointer):
            faults.append(fault)
        elif len(value) > MAX_SUBJECT_LENGTH:
            detail = f"it stands in the subject, which has at most {MAX_SUBJECT_LENGTH} characters"
            faults.append(Fault(pointer, "too_long", detail))
    return faults
