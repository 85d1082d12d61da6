"""The values of mail merges: a merge as it is stored, the options of its start, and the errors of its operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from notifier.errors import NotifierError
from notifier.job_states import MergeState
from notifier.states import KeyKind

ENDED_MERGE_STATES = frozenset({MergeState.FINISHED, MergeState.FAILED, MergeState.CANCELLED})


class OnFaulty(StrEnum):
    """What a start does about rows with faults."""

    REJECT_ALL = "reject_all"
    SKIP_INVALID = "skip_invalid"


class OnDuplicate(StrEnum):
    """Which of several rows with the same address are submitted."""

    FIRST = "first"
    ALL = "all"


class MergeStep(StrEnum):
    """What a job run of a merge does."""

    CHECK = "check"
    RUN = "run"


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """How a merge is to be submitted."""

    on_error: OnFaulty
    duplicates: OnDuplicate
    send_at: datetime | None  # of the first mail; None: now
    per_minute: int | None  # mails a minute; None: as many as the relay takes

    def build_json(self) -> dict[str, Any]:
        """Build the value that is stored."""
        return vars(self) | {"send_at": self.send_at.isoformat() if self.send_at else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "StartOptions":
        """Build the options from what is stored."""
        return cls(
            on_error=OnFaulty(values["on_error"]),
            duplicates=OnDuplicate(values["duplicates"]),
            send_at=datetime.fromisoformat(values["send_at"]) if values["send_at"] else None,
            per_minute=values["per_minute"],
        )


@dataclass(frozen=True, kw_only=True)
class MergeView:
    """A merge as it is stored. Its id is also that of its batch."""

    id: UUID
    service_id: UUID
    state: MergeState
    kind: KeyKind
    key_id: UUID
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    template: str
    template_version: int
    overrides: Mapping[str, str]
    size: int
    info: Mapping[str, Any] | None
    columns: Sequence[Mapping[str, Any]] | None
    problems: Sequence[str] | None
    rows: int
    valid: int
    faulty: int
    duplicates: int
    copies: int
    suppressed: int
    error: str | None
    check_job_id: UUID | None
    run_job_id: UUID | None
    start: Mapping[str, Any] | None
    started_by: str | None
    started_at: datetime | None
    paced_from: datetime | None
    paced: int
    release_after: UUID | None

    def get_options(self) -> StartOptions | None:
        """Get the options of the start; None: it was not started."""
        return StartOptions.from_json(self.start) if self.start else None

    def count_submitted(self, options: StartOptions) -> int:
        """Count the rows that a start with these options submits."""
        return self.valid - (self.duplicates if options.duplicates is OnDuplicate.FIRST else 0)


@dataclass(frozen=True, kw_only=True)
class FaultyRow:
    """A row of the file with faults."""

    number: int
    faults: Sequence[Mapping[str, Any]]  # each with `column`, `cell`, `code` and `detail`
    cells: Sequence[str]


class MergeStateError(NotifierError):
    """The state of the merge does not allow this."""


class MergeHasFaultsError(NotifierError):
    """Some rows have faults: correct the file, or start with `skip_invalid`."""


class NothingToMergeError(NotifierError):
    """No row of the file can be submitted."""


class TooManyMergesError(NotifierError):
    """The service has the maximum number of merges that have not ended: start or cancel some of them."""


class MergeFileGoneError(NotifierError):
    """The file of the merge was deleted when the merge ended."""
