"""How a code that a caller can be answered with is explained."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One code, explained."""

    status: int
    title: str
    meaning: str
    remedy: str
    operations: frozenset[str] = frozenset()  # operation ids; of a 409: who answers it


def make_entry(status: int, title: str, meaning: str, remedy: str, operations: str = "") -> Entry:
    """Explain a code; `operations` are operation ids with blanks between."""
    return Entry(status=status, title=title, meaning=meaning, remedy=remedy, operations=frozenset(operations.split()))


def make_fault(meaning: str, remedy: str) -> Entry:
    """Explain the code of a fault in a request."""
    return make_entry(422, "The request has faults", meaning, remedy)
