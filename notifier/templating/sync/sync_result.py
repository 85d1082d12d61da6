"""What a push or a pull did to each template and layout, or would do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from notifier.errors import NotifierError
from notifier.templating.source_diff import SourceDifference


class PushChange(StrEnum):
    """What pushing a template or a layout did, or would do."""

    CREATED = "created"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"  # only new templates were to be pushed
    REFUSED = "refused"


class PullChange(StrEnum):
    """What pulling a template or a layout did, or would do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"  # edited in the folder only
    GONE = "gone"  # the database does not have it any more
    REFUSED = "refused"  # edited on both sides


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """One template or layout after a push or a pull."""

    slug: str  # or the layout's name
    number: int  # of the version, or the layout's revision; of a dry run: the one that it would be
    change: PushChange | PullChange
    why: str = ""  # it was refused, or is gone
    difference: SourceDifference | None = field(default=None, compare=False)  # to what would be replaced


class SyncRefusedError(NotifierError):
    """Newer edits would be lost; nothing was written."""

    def __init__(self, message: str, refused: Iterable[SyncResult]) -> None:
        self.refused = tuple(refused)
        super().__init__(f"{message}: " + "; ".join(f"{result.slug}: {result.why}" for result in self.refused))
