"""The pace of a merge: when each of its mails is due, and how many may be written at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from notifier.merge.merge_view import MergeView, StartOptions

MAX_AHEAD = 10_000
"""Mails of a merge that are in the outbox; more are written when some of them have left."""
WRITTEN_MAILS = 500
"""Mails of one step, each copy too."""
QUOTA_WINDOW = 60.0  # seconds


@dataclass(frozen=True, kw_only=True)
class RunCursor:
    """Where the next step of a run begins, as it is stored with the run."""

    row: int = 0  # number of the last row that was read
    seen: int = 0  # rows that were read
    ahead: int = 0  # at most so many mails are in the outbox
    paid_until: float = 0.0  # Unix time in seconds until which the rate limit is used up
    is_read: bool = False  # the end of the file was reached
    looks: int = 0  # at the mails that wait, since the end of the file

    @classmethod
    def from_json(cls, cursor: Mapping[str, Any] | None) -> "RunCursor":
        """Build the cursor from what is stored; None: the beginning."""
        return cls(**cursor) if cursor else cls()


def get_interval(options: StartOptions) -> timedelta | None:
    """Get the time between two mails; None: they are not spaced."""
    return timedelta(minutes=1) / options.per_minute if options.per_minute else None


def plan_send_at(merge: MergeView, options: StartOptions, index: int) -> datetime | None:
    """Plan when the next mail but `index` is due; None: at once."""
    interval = get_interval(options)
    if interval is None or merge.paced_from is None:
        return options.send_at
    return merge.paced_from + (merge.paced + index) * interval


def get_quota_wait(cursor: RunCursor, quota: int, now: datetime) -> float:
    """Get the seconds until the rate limit lets the next rows pass. A minute's worth may pass at once."""
    if not quota:
        return 0.0
    return max(0.0, cursor.paid_until - QUOTA_WINDOW - now.timestamp())


def pay_quota(cursor: RunCursor, quota: int, count: int, now: datetime) -> float:
    """Use up the rate limit for so many mails; returns the new `paid_until`."""
    return max(cursor.paid_until, now.timestamp()) + count * QUOTA_WINDOW / quota if quota else 0.0
