"""How a code that a caller can be answered with is explained."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One code, explained."""

    status: int
    title: str
    meaning: str
    remedy: str
    operation_ids: frozenset[str] = frozenset()  # operation ids; of a 409: who answers it


def make_entry(status: int, title: str, meaning: str, remedy: str, operations: str = "") -> CatalogueEntry:
    """Explain a code; `operations` are operation ids with blanks between."""
    return CatalogueEntry(
        status=status, title=title, meaning=meaning, remedy=remedy, operation_ids=frozenset(operations.split())
    )


def make_fault(meaning: str, remedy: str) -> CatalogueEntry:
    """Explain the code of a fault in a request."""
    return make_entry(422, "The request has faults", meaning, remedy)
