"""Optimistic locking: whoever saves names the revision that they have seen, and a newer one is an edit conflict."""

from datetime import datetime
from typing import Any, ClassVar, Protocol

from notifier.errors import NotifierError


class Editable(Protocol):
    """Something that several people edit."""

    @property
    def revision(self) -> Any:
        """What every change of it changes."""

    @property
    def updated_at(self) -> datetime | None:
        """When it was saved last."""


class EditConflictError(NotifierError):
    """Somebody has changed the object since the editor has loaded it."""

    noun: ClassVar[str]

    def __init__(self, theirs: Editable | None, yours: Any = None) -> None:
        self.theirs: Any = theirs  # None: it does not exist
        self.yours = yours  # None: nothing was to be saved
        what = f"deleted this {self.noun}"
        if theirs is not None and theirs.updated_at is not None:
            what = f"saved this {self.noun} at {theirs.updated_at:%H:%M} UTC"
        super().__init__(f"Edit conflict: somebody {what}. Reload it and apply your change again.")


def require_same_revision(
    error: type[EditConflictError], stored: Editable | None, revision: int | str, yours: Any = None
) -> None:
    """Raise the error unless the object still has the revision that the editor has seen; 0: it did not exist."""
    if (stored.revision if stored else 0) != revision:
        raise error(stored, yours)
