"""The entry of a problem code in the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """The explanation of a code."""

    status: int
    title: str
    meaning: str
    remedy: str
    operation_ids: frozenset[str] = frozenset()  # of a 409: the ids of the operations that answer it


def make_entry(status: int, title: str, meaning: str, remedy: str, operations: str = "") -> CatalogueEntry:
    """Make the entry of a code; `operations` are operation ids separated by spaces."""
    return CatalogueEntry(
        status=status, title=title, meaning=meaning, remedy=remedy, operation_ids=frozenset(operations.split())
    )


def make_fault(meaning: str, remedy: str) -> CatalogueEntry:
    """Make the entry of a code of a single fault."""
    return make_entry(422, "The request has faults", meaning, remedy)
